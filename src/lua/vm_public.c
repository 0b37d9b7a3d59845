/* SPDX-License-Identifier: MIT */
/* vm_public.c - vm.h for any LuaJIT, without its private headers.
 *
 * Whether a finalizer, a VM event handler or a hook is running stands in one
 * byte of LuaJIT's global state, which no public function reads.  So the byte
 * is found by experiment in a state made for the purpose: it is the one whose
 * low bits follow lua_sethook, and that has a certain bit set inside a hook, one
 * inside a finalizer and one inside a VM event handler.  If any of this does not
 * come out, parking with a C stack is refused altogether, in words. */
#include "lua/vm.h"

#include <lauxlib.h>
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
	size_t mask; /* the byte's place in the global state */
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

void vm_init(void)
{
	lua_State *L = luaL_newstate();
	if (!L)
		return;
	luaL_openlibs(L);
	lua_State *co = lua_newthread(L);
	layout.known = findglobal(L, co) && findmask(L) && checkbits(L);
	lua_close(L);
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
}

struct callsite vm_callsite(lua_State *L)
{
	(void)L;
	return (struct callsite){{0, 0, 0}, true};
}
