/* SPDX-License-Identifier: MIT */
/* vm_public.c - vm.h for any LuaJIT, without its private headers.
 *
 * Whether a finalizer, a VM event handler or a hook is running stands in one
 * byte of LuaJIT's global state, which no public function reads.  So the byte
 * is found by experiment in a state made for the purpose: it is the one whose
 * low bits follow lua_sethook, and that has a certain bit set inside a hook, one
 * inside a finalizer and one inside a VM event handler.  Which coroutine runs
 * stands in a word of the global state: the one that names, in a C function, the
 * coroutine which called it.  If any of this does not come out, parking with a C
 * stack is refused altogether, in words.
 *
 * Two more places are found so, each by what it must and must not be in closures
 * made for the purpose: the word of a function that names its prototype, and the
 * byte of a variable that says that nothing assigns to it. */
#include "lua/vm.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <string.h>

#include "base/throw.h"

_Static_assert(VM_BUSY == 0x60, "VMEVENT and GC below");

enum {
	EVENTS = 0x0f, /* the mask that lua_sethook was given */
	ACTIVE = 0x10,
	VMEVENT = 0x20,
	GC = 0x40,
	SEARCH = 1024, /* bytes of the global state to look at; more than that follow */
};

static struct {
	bool known;
	size_t gofs; /* where a lua_State keeps its global state's address */
	size_t mask; /* the byte's place in the global state, */
	size_t current; /* and that of the coroutine that runs */
	size_t word;  /* size of a reference */
	size_t proto; /* where a function has its prototype's; 0: not known */
	size_t immutable; /* where a variable has the mark; 0: not known */
} layout;

static uint8_t *globalof(lua_State *L, size_t gofs)
{
	uint8_t *g;
	memcpy(&g, (char *)L + gofs, sizeof g);
	return g;
}

static uint8_t *hookmask(lua_State *L)
{
	return globalof(L, layout.gofs) + layout.mask;
}

static void nohook(lua_State *L, lua_Debug *ar)
{
	(void)L;
	(void)ar;
}

/* A word at the same place in two coroutines of one state, the same in both,
 * and pointing just behind the main one (LuaJIT allocates the two together). */
static bool findglobal(lua_State *L, lua_State *co)
{
	for (size_t o = sizeof(void *); o <= 6 * sizeof(void *); o += sizeof(void *)) {
		uint8_t *g = globalof(L, o);
		if (g == globalof(co, o) && g > (uint8_t *)L && g < (uint8_t *)L + 512) {
			layout.gofs = o;
			return true;
		}
	}
	return false;
}

static bool findmask(lua_State *L)
{
	static const int masks[] = {LUA_MASKCOUNT, LUA_MASKCALL, LUA_MASKCALL | LUA_MASKCOUNT, 0,
				    LUA_MASKRET | LUA_MASKLINE};
	bool maybe[SEARCH];
	memset(maybe, 1, sizeof maybe);
	uint8_t *g = globalof(L, layout.gofs);
	for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
		lua_sethook(L, masks[i] ? nohook : NULL, masks[i], 1 << 20);
		for (size_t o = 0; o < SEARCH; o++)
			maybe[o] &= (g[o] & (EVENTS | ACTIVE | VMEVENT | GC)) == masks[i];
	}
	lua_sethook(L, NULL, 0, 0);
	int found = 0;
	for (size_t o = 0; o < SEARCH; o++)
		if (maybe[o]) {
			layout.mask = o;
			found++;
		}
	return found == 1;
}

static uint8_t seen; /* the byte as look found it; only during vm_init */

static int look(lua_State *L)
{
	seen = *hookmask(L);
	return 0;
}

static void lookhook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	seen = *hookmask(L);
}

static bool runs(lua_State *L, const char *code, uint8_t bits)
{
	seen = 0;
	return luaL_dostring(L, code) == 0 && (seen & (ACTIVE | VMEVENT | GC)) == bits;
}

static bool checkbits(lua_State *L)
{
	lua_pushcfunction(L, look);
	lua_setglobal(L, "look");
	lua_sethook(L, lookhook, LUA_MASKCOUNT, 1);
	return runs(L, "local x = 1", ACTIVE) && runs(L, "look()", 0) &&
	       runs(L, "getmetatable(newproxy(true)).__gc = look collectgarbage()", ACTIVE | GC) &&
	       runs(L, "local f = function() look() end jit.attach(f, 'bc') loadstring('return 1') jit.attach(f)",
		    ACTIVE | VMEVENT) &&
	       *hookmask(L) == 0;
}

/* What the experiments below leave: which places it may yet be. */
static struct {
	bool current[SEARCH / sizeof(uintptr_t)]; /* by word */
	bool proto[8]; /* by reference */
	bool immutable[8]; /* by byte from the first reference on */
} maybe;

static uint64_t wordat(lua_State *L, int idx, size_t i)
{
	const char *at = (const char *)lua_topointer(L, idx) + i * layout.word;
	uint64_t v = 0;
	memcpy(&v, at, layout.word); /* little endian; of no matter where the sizes agree */
	return v;
}

/* look(), from several coroutines. */
static int lookcurrent(lua_State *L)
{
	const uint8_t *g = globalof(L, layout.gofs);
	for (size_t i = 0; i < sizeof maybe.current; i++) {
		uintptr_t at;
		memcpy(&at, g + i * sizeof at, sizeof at);
		maybe.current[i] &= at == (uintptr_t)L;
	}
	return 0;
}

/* look(f, g, h): closures of one prototype, and one of another. */
static int lookproto(lua_State *L)
{
	for (size_t i = 0; i < 5; i++) {
		uint64_t v = wordat(L, 1, i);
		maybe.proto[i] &= v != 0 && v == wordat(L, 2, i) && v != wordat(L, 3, i);
	}
	return 0;
}

/* look(f, g): the first upvalue of f is never assigned to, that of g is. */
static int lookimmutable(lua_State *L)
{
	const uint8_t *yes = lua_upvalueid(L, 1, 1), *no = lua_upvalueid(L, 2, 1);
	for (size_t i = 0; i < 8; i++)
		maybe.immutable[i] &= yes[layout.word + i] == 1 && no[layout.word + i] == 0;
	return 0;
}

/* The one place left of n; SIZE_MAX if there are none or several. */
static size_t only(const bool *may, size_t n)
{
	size_t found = SIZE_MAX;
	for (size_t i = 0; i < n; i++)
		if (may[i]) {
			if (found != SIZE_MAX)
				return SIZE_MAX;
			found = i;
		}
	return found;
}

static bool runslook(lua_State *L, lua_CFunction look_, const char *code)
{
	lua_pushcfunction(L, look_);
	lua_setglobal(L, "look");
	return luaL_dostring(L, code) == 0;
}

static bool findcurrent(lua_State *L)
{
	static const char code[] =
		"local a, b = coroutine.create(look), coroutine.create(look)\n"
		"local c = coroutine.wrap(function() look() coroutine.resume(a) look() end)\n"
		"look() c() look() coroutine.resume(b) look()";
	memset(maybe.current, 1, sizeof maybe.current);
	size_t i = runslook(L, lookcurrent, code) ? only(maybe.current, sizeof maybe.current) : SIZE_MAX;
	layout.current = i * sizeof(uintptr_t);
	return i != SIZE_MAX;
}

static void findprotos(lua_State *L)
{
	static const char code[] =
		"local function one(x) return function() return x end end\n"
		"local function other(x) return function() return x end end\n"
		"for i = 1, 3 do look(one(1), one(2), other(1)) look(other(1), other(2), one(1)) collectgarbage() end\n"
		"look(one, one, other)";
	memset(maybe.proto, 1, sizeof maybe.proto);
	size_t i = runslook(L, lookproto, code) ? only(maybe.proto, 5) : SIZE_MAX;
	layout.proto = i == SIZE_MAX ? 0 : i * layout.word;
}

static void findimmutable(lua_State *L)
{
	static const char code[] =
		"local a, b = 'x', 'x' b = 'y'\n"
		"local function fa() return a end local function fb() return b end\n"
		"look(fa, fb) collectgarbage() look(fa, fb)\n" /* open */
		"local function nested(c, d)\n"
		"  local function set() d = 'z' end\n"
		"  local function f() return function() return c end, function() return d, set end end\n"
		"  look(f()) return f\n"
		"end\n"
		"local f = nested('x', 'x')\n"
		"look(f()) collectgarbage() look(f()) look(nested(nil, nil)())\n" /* closed */
		"for i = 1, 3 do local e, g = i, i g = 1\n"
		"  look(function() return e end, function() return g end)\n"
		"  look(function() return i end, function() g = 2 end)\n"
		"end\n"
		"local function rec() return rec end look(rec, fb)";
	memset(maybe.immutable, 1, sizeof maybe.immutable);
	size_t i = runslook(L, lookimmutable, code) ? only(maybe.immutable, 8) : SIZE_MAX;
	layout.immutable = i == SIZE_MAX ? 0 : layout.word + i;
}

/* How large a reference is inside LuaJIT: a dump's flags tell. */
static bool findword(lua_State *L)
{
	enum { FLAGS = 4, FR2 = 8 };
	size_t n = 0;
	const char *dump = NULL;
	if (luaL_dostring(L, "return string.dump(function() end)") == 0)
		dump = lua_tolstring(L, -1, &n);
	if (!dump || n <= FLAGS)
		return false;
	layout.word = dump[FLAGS] & FR2 ? sizeof(uint64_t) : sizeof(uint32_t);
	return true;
}

/* In a Lua that has them not they are NULL (weakapi.h). */
#pragma weak luaJIT_setmode
#pragma weak lua_isyieldable /* 2.0 has it not */

bool vm_isluajit(void)
{
	return luaJIT_setmode != NULL && lua_isyieldable != NULL;
}

void vm_init(void)
{
	lua_State *L = luaL_newstate();
	if (!L)
		return;
	luaL_openlibs(L);
	lua_State *co = lua_newthread(L);
	layout.known = findglobal(L, co) && findmask(L) && checkbits(L) && findcurrent(L);
	if (findword(L)) {
		findprotos(L);
		findimmutable(L);
	}
	lua_close(L);
}

const void *vm_proto(lua_State *L, int idx)
{
	if (layout.proto == 0 || lua_iscfunction(L, idx))
		return NULL;
	return (const void *)(uintptr_t)wordat(L, idx, layout.proto / layout.word);
}

bool vm_upvalimmutable(lua_State *L, int idx, int n)
{
	const uint8_t *uv = layout.immutable ? lua_upvalueid(L, idx, n) : NULL;
	return uv && uv[layout.immutable] == 1;
}

bool vm_knowsupvalues(void)
{
	return layout.immutable != 0;
}

const char *vm_busy(lua_State *L)
{
	if (!layout.known)
		return "a C function (this LuaJIT's layout is not known)";
	uint8_t mask = *hookmask(L);
	if (mask & GC)
		return "a finalizer";
	if (mask & VMEVENT)
		return "a VM event handler (jit.attach)";
	return NULL;
}

const uint8_t *vm_hookmask(lua_State *L)
{
	static const uint8_t unknown;
	return layout.known ? hookmask(L) : &unknown;
}

void vm_current(lua_State *L)
{
	uintptr_t current = (uintptr_t)L;
	if (layout.known)
		memcpy(globalof(L, layout.gofs) + layout.current, &current, sizeof current);
}

int vm_savehook(lua_State *L)
{
	uint8_t *mask = hookmask(L);
	int saved = *mask & ~EVENTS;
	*mask &= (uint8_t)~ACTIVE;
	return saved;
}

void vm_restorehook(lua_State *L, int saved)
{
	uint8_t *mask = hookmask(L);
	*mask = (uint8_t)((*mask & EVENTS) | saved);
	vm_current(L);
}

bool vm_iscallback(lua_State *L, const void *fn)
{
	(void)L;
	(void)fn;
	return false;
}

bool vm_knowscallbacks(void)
{
	return false;
}

int vm_cparams(lua_State *L, int idx, bool *variadic, bool *words)
{
	(void)L;
	(void)idx;
	(void)variadic;
	(void)words;
	return -1;
}

int vm_hookleft(lua_State *L)
{
	(void)L;
	return 0;
}

void vm_sethook(lua_State *L, lua_Hook fn, int mask, int count, int left)
{
	(void)left;
	lua_sethook(L, fn, mask, count);
}

const char *vm_unstoppable(void)
{
	return "this LuaJIT does not look at hooks in compiled loops (it was built without LUAJIT_ENABLE_CHECKHOOK)";
}

int vm_edgeevents(void)
{
	return LUA_MASKLINE | LUA_MASKCALL; /* a jump back counts as a new line */
}

bool vm_atedge(lua_State *L)
{
	(void)L;
	return true;
}

struct callsite vm_callsite(lua_State *L)
{
	(void)L;
	return (struct callsite){{0, 0, 0}, true};
}

const void *vm_tablebytes(const void *table, size_t *n)
{
	(void)table;
	(void)n;
	return NULL;
}
