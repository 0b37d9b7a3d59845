/* SPDX-License-Identifier: MIT */
/* lib_load.c - load generators: what lua/luapark/load.lua and loadthread.lua are made of.
 *
 * A loader (load/loader.h) is a light pointer here, for it is made by one state and looked at
 * by another.  Only the goroutine that made it drives it: by run, where no Lua is needed,
 * or by the functions for FFI and wait. */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/os.h"
#include "load/loader.h"
#include "lua/host.h"
#include "lua/vm.h"
#include "park/netpoll.h"
#include "park/timer.h"

static struct loader *checkloader(lua_State *L, int idx)
{
	luaL_checktype(L, idx, LUA_TLIGHTUSERDATA);
	return lua_touserdata(L, idx);
}

/* Making ----------------------------------------------------------------------------- */

/* The number in a field of the table at 1. */
static lua_Number field(lua_State *L, const char *name, lua_Number none)
{
	lua_getfield(L, 1, name);
	lua_Number n = lua_isnil(L, -1) ? none : lua_tonumber(L, -1);
	lua_pop(L, 1);
	return n;
}

static bool flag(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	bool on = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return on;
}

/* new(conf) -> loader | nil, code.  conf: address, a string; connections; timeout and duration
 * (or nil), in seconds; interval (or nil) between requests, in seconds, and offset of the
 * first, in intervals; number (or nil) of requests; request, a string, or nil: it is asked
 * for; pipeline, requests in one string; heads, a number whose bits tell which of them are
 * HEADs; delay and response: whether it asks for these. */
static int l_new(lua_State *L)
{
	struct loadconf conf = {
		.nconns = (uint32_t)field(L, "connections", 1),
		.timeout = nanoseconds(field(L, "timeout", 2)),
		.duration = nanoseconds(field(L, "duration", 1e10)),
		.interval = field(L, "interval", 0) * 1e9,
		.offset = field(L, "offset", 0),
		.pipeline = (uint32_t)field(L, "pipeline", 1),
		.heads = (uint64_t)field(L, "heads", 0),
		.delay = flag(L, "delay"),
		.response = flag(L, "response"),
	};
	lua_Number number = field(L, "number", -1);
	conf.number = number < 0 ? UINT64_MAX : (uint64_t)number;
	size_t len;
	lua_getfield(L, 1, "address");
	const char *s = luaL_checklstring(L, -1, &len);
	luaL_argcheck(L, len >= sizeof(sa_family_t) && len <= sizeof conf.addr, 1, "address expected");
	memcpy(&conf.addr, s, len);
	conf.addrlen = (socklen_t)len;
	lua_getfield(L, 1, "request");
	s = lua_tolstring(L, -1, &len);
	if (s) {
		conf.request = xmalloc(len + 1);
		memcpy(conf.request, s, len);
		conf.requestlen = len;
	}
	struct loader *ld = load_new(&conf);
	if (!ld) {
		lua_pushnil(L);
		lua_pushinteger(L, -errno);
		return 2;
	}
	lua_pushlightuserdata(L, ld);
	return 1;
}

static int l_free(lua_State *L)
{
	load_free(checkloader(L, 1));
	return 0;
}

/* count(s) -> how many HTTP requests s holds, which are HEADs | nil, why, place */
static int l_count(lua_State *L)
{
	size_t len, at;
	uint64_t heads;
	const char *why, *s = luaL_checklstring(L, 1, &len);
	uint32_t n = answer_countrequests(s, len, &heads, &why, &at);
	if (n > 0) {
		lua_pushinteger(L, (lua_Integer)n);
		lua_pushnumber(L, (lua_Number)heads);
		return 2;
	}
	lua_pushnil(L);
	lua_pushstring(L, why);
	lua_pushinteger(L, (lua_Integer)at);
	return 3;
}

/* Running ----------------------------------------------------------------------------- */

/* run(loader): to its end, which must ask for nothing.  The goroutine's thread is in here all the
 * while, and others go on with the P. */
static int l_run(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct loader *ld = checkloader(L, 1);
	G *gp = hostcurg(ls);
	if (!gp || vm_busy(L) || !cstack_spare(&ls->pp->stacks)) {
		load_run(ld);
		return 0;
	}
	int hook = vm_savehook(L);
	entersyscall(gp);
	load_run(ld);
	exitsyscall(gp);
	vm_restorehook(L, hook);
	return 0;
}

/* watch(loader) -> what wait wants, on this P | nil, code */
static int l_watch(lua_State *L)
{
	int err;
	struct polldesc *pd = pollopen(hostof(L)->pp, checkloader(L, 1)->epfd, &err);
	if (!pd) {
		lua_pushnil(L);
		lua_pushinteger(L, -err);
		return 2;
	}
	lua_pushlightuserdata(L, pd);
	return 1;
}

/* unwatch(watched): before the loader is freed */
static int l_unwatch(lua_State *L)
{
	pollclose(lua_touserdata(L, 1));
	return 0;
}

/* wait(watched, loader): parks until the loader has something to do */
static int l_wait(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct loader *ld = checkloader(L, 2);
	const char *why = host_nopark(L, ls);
	if (why)
		return luaL_error(L, "%s", why);
	G *gp = hostcurg(ls);
	int err = pollwait(lua_touserdata(L, 1), POLL_READ, gp);
	if (err != 0)
		return luaL_error(L, "cannot wait for a load: %s", strerror(err));
	gp->sel = 0;
	timer_park(gp, ld->until);
	return host_parkret(L, ls, WR_IO, 0);
}

/* Looking ------------------------------------------------------------------------------ */

/* stop(loader): no more is sent, and it ends.  abort(loader): at once.  Any state. */
static int l_stop(lua_State *L)
{
	store_relaxed(&checkloader(L, 1)->stop, true);
	return 0;
}

static int l_abort(lua_State *L)
{
	store_relaxed(&checkloader(L, 1)->abort, true);
	return 0;
}

/* sample(loader) -> requests, bytes, connections made, open ones, failed ones, errors of all kinds but
 * status; so far.  Any state. */
static int l_sample(lua_State *L)
{
	struct loader *ld = checkloader(L, 1);
	uint64_t errors = 0;
	for (int i = 0; i < LOAD_CLASSES; i++)
		if (i != LOAD_STATUS)
			errors += load_relaxed(&ld->errors[i]);
	lua_pushnumber(L, (lua_Number)load_relaxed(&ld->requests));
	lua_pushnumber(L, (lua_Number)load_relaxed(&ld->bytes));
	lua_pushnumber(L, (lua_Number)load_relaxed(&ld->connected));
	lua_pushnumber(L, (lua_Number)load_relaxed(&ld->nopen));
	lua_pushnumber(L, (lua_Number)load_relaxed(&ld->errors[LOAD_CONNECT]));
	lua_pushnumber(L, (lua_Number)errors);
	return 6;
}

static const char *const classes[LOAD_CLASSES] = {"connect", "read", "write", "status", "timeout"};

static void setnumber(lua_State *L, const char *name, double n)
{
	lua_pushnumber(L, n);
	lua_setfield(L, -2, name);
}

/* Pushes { value, how often, value, how often, ... }, in us. */
static void pushtimes(lua_State *L, const struct times *t)
{
	int n = 0;
	lua_newtable(L);
	for (uint32_t i = 0; i < TALLY_SLOTS; i++) {
		if (t->n[i] == 0)
			continue;
		lua_pushnumber(L, (lua_Number)tally_lowest(i));
		lua_rawseti(L, -2, ++n);
		lua_pushnumber(L, (lua_Number)t->n[i]);
		lua_rawseti(L, -2, ++n);
	}
}

static void pushcauses(lua_State *L, const struct causes *cs)
{
	lua_newtable(L);
	for (uint32_t i = 0; i < cs->n; i++) {
		const struct cause *c = &cs->list[i];
		lua_newtable(L);
		lua_pushstring(L, classes[c->class]);
		lua_setfield(L, -2, "class");
		lua_pushstring(L, c->err != 0 ? uv_strerror(-c->err) : c->text);
		lua_setfield(L, -2, "words");
		setnumber(L, "n", (double)c->n);
		lua_rawseti(L, -2, (int)i + 1);
	}
}

/* results(loader) -> a table, when it is over: start and finish, in seconds; requests, bytes; errors, by class; causes,
 * a list of { class =, words =, n = }; latency and service, as pushtimes has them; rates, a list */
static int l_results(lua_State *L)
{
	struct loader *ld = checkloader(L, 1);
	lua_newtable(L);
	setnumber(L, "start", (double)ld->start * 1e-9);
	setnumber(L, "finish", (double)ld->end * 1e-9);
	setnumber(L, "requests", (double)load_relaxed(&ld->requests));
	setnumber(L, "bytes", (double)load_relaxed(&ld->bytes));
	lua_newtable(L);
	for (int i = 0; i < LOAD_CLASSES; i++)
		setnumber(L, classes[i], (double)load_relaxed(&ld->errors[i]));
	lua_setfield(L, -2, "errors");
	pushcauses(L, &ld->causes);
	lua_setfield(L, -2, "causes");
	pushtimes(L, &ld->latency);
	lua_setfield(L, -2, "latency");
	pushtimes(L, &ld->service);
	lua_setfield(L, -2, "service");
	lua_newtable(L);
	for (uint32_t i = 0; i < ld->nrates; i++) {
		lua_pushnumber(L, ld->rates[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_setfield(L, -2, "rates");
	return 1;
}

/* The process ---------------------------------------------------------------------------- */

/* files(n) -> true: so many files may be open; or nil, how many may */
static int l_files(lua_State *L)
{
	struct rlimit lim;
	rlim_t want = (rlim_t)luaL_checknumber(L, 1);
	if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur >= want) {
		lua_pushboolean(L, 1);
		return 1;
	}
	rlim_t had = lim.rlim_cur;
	lim.rlim_cur = want < lim.rlim_max ? want : lim.rlim_max;
	if (lim.rlim_cur < want || setrlimit(RLIMIT_NOFILE, &lim) != 0) {
		lua_pushnil(L);
		lua_pushnumber(L, (lua_Number)(lim.rlim_cur < want ? lim.rlim_cur : had));
		return 2;
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* Drivers that wait for each other, each awake on the P that took it: so no P takes two. */
static atomic_u32 mustered;

/* muster(n, seconds): counts us in; returns when n are here, or after so long.  Holds the P.  n = 0: begins anew. */
static int l_muster(lua_State *L)
{
	uint32_t n = (uint32_t)luaL_checkint(L, 1);
	if (n == 0) {
		store_relaxed(&mustered, 0);
		return 0;
	}
	int64_t until = nanotime() + nanoseconds(luaL_checknumber(L, 2));
	fetch_add_relaxed(&mustered, 1);
	while (load_relaxed(&mustered) < n && nanotime() < until)
		os_nanosleep(50000);
	return 0;
}

static atomic_u32 interrupts;
static struct sigaction before;

/* The first one ends the load; the second one the process, as it would without us. */
static void oninterrupt(int sig)
{
	if (fetch_add_relaxed(&interrupts, 1) > 0) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

/* catch(on): from here on SIGINT is only counted; or is what it was before */
static int l_catch(lua_State *L)
{
	struct sigaction sa = {.sa_handler = oninterrupt, .sa_flags = SA_ONSTACK | SA_RESTART};
	sigemptyset(&sa.sa_mask);
	if (!lua_toboolean(L, 1)) {
		if (before.sa_handler != SIG_IGN)
			sigaction(SIGINT, &before, NULL);
		return 0;
	}
	store_relaxed(&interrupts, 0);
	/* Who was started with SIGINT ignored leaves it so. */
	if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
		sigaction(SIGINT, &sa, NULL);
	return 0;
}

/* interrupted() -> whether SIGINT has come */
static int l_interrupted(lua_State *L)
{
	lua_pushboolean(L, load_relaxed(&interrupts) > 0);
	return 1;
}

/* istty() -> whether stderr is a terminal */
static int l_istty(lua_State *L)
{
	lua_pushboolean(L, isatty(STDERR_FILENO));
	return 1;
}

/* address(a) -> "host:port", as wrk prints addresses */
static int l_address(lua_State *L)
{
	size_t len;
	struct sockaddr_storage addr;
	char host[NI_MAXHOST], port[NI_MAXSERV];
	const char *s = luaL_checklstring(L, 1, &len);
	luaL_argcheck(L, len <= sizeof addr, 1, "address expected");
	memcpy(&addr, s, len);
	int err = getnameinfo((struct sockaddr *)&addr, (socklen_t)len, host, sizeof host, port, sizeof port,
			      NI_NUMERICHOST | NI_NUMERICSERV);
	if (err != 0)
		return luaL_error(L, "bad address: %s", gai_strerror(err));
	lua_pushfstring(L, "%s:%s", host, port);
	return 1;
}

/* For FFI: these never park, switch, or enter Lua ---------------------------------------- */

static int32_t ffi_next(struct loader *ld)
{
	return (int32_t)load_next(ld);
}

void lib_load_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"new", l_new},		{"free", l_free},	{"count", l_count},	{"run", l_run},
		{"watch", l_watch},	{"unwatch", l_unwatch}, {"wait", l_wait},	{"stop", l_stop},
		{"abort", l_abort},	{"sample", l_sample},	{"results", l_results}, {"files", l_files},
		{"muster", l_muster},	{"catch", l_catch},	{"interrupted", l_interrupted},
		{"address", l_address}, {"istty", l_istty},	{NULL, NULL}};
	static const struct {
		const char *name;
		enum loadask ask;
	} asks[] = {{"OVER", LOAD_OVER},   {"WAIT", LOAD_WAIT},	      {"TURN", LOAD_TURN},
		    {"DELAY", LOAD_DELAY}, {"REQUEST", LOAD_REQUEST}, {"RESPONSE", LOAD_RESPONSE}};
	lua_newtable(L);
	host_register(L, ls, funcs);
	for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
		lua_pushinteger(L, asks[i].ask);
		lua_setfield(L, -2, asks[i].name);
	}
	lua_pushlightuserdata(L, (void *)ffi_next);
	lua_setfield(L, -2, "nextask");
	lua_pushlightuserdata(L, (void *)load_send);
	lua_setfield(L, -2, "sendask");
	lua_pushlightuserdata(L, (void *)load_delay);
	lua_setfield(L, -2, "delayask");
	lua_setfield(L, -2, "load");
}
