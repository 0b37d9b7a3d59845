/* SPDX-License-Identifier: MIT */
/* host.h - one LuaJIT state per P, and Gs as its coroutines.
 *
 * Each state has three coroutines of ours:
 *
 *   anchor   never runs: its stack holds what must live as long as the state
 *   service  runs, protected, what g0 must do in Lua (unlockf, timers, reports)
 *   results  holds what the main function returned, until mstart's caller takes it
 *
 * The anchor's stack, by index: */
#ifndef LUAPARK_LUA_HOST_H
#define LUAPARK_LUA_HOST_H

#include <lauxlib.h>
#include <lua.h>

#include "lua/vm.h"
#include "park/obj.h"
#include "sched/bubble.h"
#include "sched/sched.h"

enum {
	A_CO = 1,  /* gindex -> its coroutine, once it runs */
	A_RECORDS, /* functions and arguments of Gs that have not run (record.c) */
	A_HANDLE,  /* gindex -> its handle, while it lives here */
	A_FOREIGN, /* slot -> a handle of a G that lives elsewhere, or no more; weak */
	A_OWN,	   /* number -> a bubble's own handle, in messages to its own Gs (write.c) */
	A_TEXT,	   /* gindex -> the user's own wait reason */
	A_PROXY,   /* gindex -> what coroutine.running() says in it */
	A_HANDLEMT, /* the metatable of handles */
	A_OBJECTS, /* object -> the handle by which this state knows it; weak (share.c) */
	A_ELEM,	   /* sudog - sudogbase -> the value that travels with it, at home (waitq.lua) */
	A_ADOPT,   /* function(kind, handle or nil, object, its reference) -> handle of the object */
	A_CARRY,   /* function(value, what for): the value as another G shall see it */
	A_CONTEXT, /* function(context): what others must know of it (share.c) */
	A_EXITS,   /* slot -> what is to be ended with a goroutine (exits.lua) */
	A_EXITING, /* function(): what a goroutine does before it ends where it stands (init.lua) */
	A_BOOT,	   /* function(message): what a G that came as a message runs */
	A_XPCALL,  /* what each G's function is called by, */
	A_HANDLER, /* and what an uncaught error is given to */
	A_FAILED,  /* gindex -> that error, in words and as it is (panic.c) */
	A_ONFAILED, /* function(g, error, traceback, message) -> handled, or why not */
	A_ONERROR, /* id -> a function that onerror was called with here (onerror.c) */
	A_COUNT = A_ONERROR
};

/* How the main function ended. */
enum mainend { MAIN_RUNS, MAIN_RETURNED, MAIN_FAILED, MAIN_EXITED };

struct lstate {
	P *pp;
	lua_State *L; /* the state's main thread */
	lua_State *anchor, *service, *results;
	const void *globals; /* the default environment of a coroutine */
	enum gout yield;     /* why the running G yields; 0: the user's coroutine.yield */
	uint64_t mainid;     /* the main function's G */
	enum mainend mainend;
	bool script;  /* the executable: errors are reported as luajit does */
	G *starting;		 /* gets its coroutine */
	uint32_t page, bump;	 /* record.c: the page that records come from, and how many did */
	uint32_t npage, *used;	 /* by page: its records in use */
	uint32_t nfreepage, *freepage; /* pages without a table */
	struct loading *loading; /* modules being loaded: lib_require.c */
	uintptr_t lastkey[3];	 /* site.c: where the last go was, */
	uint32_t lastsite;	 /* and its number */
	char why[128];	/* host_nopark's answer where it is not constant */
	const void *mt[OBJ_KINDS][2]; /* metatables of handles at home, and of shared ones */
	struct values *values;	 /* known.c and its kin */
	/* The user's hook while ours is set (interrupt.c). */
	lua_Hook userhook;
	int usermask, usercount, userleft;
	int hookline; /* ours has last seen this line; 0: none yet */
	atomic_flg disarming, again; /* it is given back just now, and ours was wanted again meanwhile */
	atomic_flg closes; /* the state is being closed, or was (p0's): no signal may touch it, and what yet runs in it are finalizers */
	/* idlegc.c */
	bool collecting; /* a cycle that idle time began is under way; */
	uint32_t nown;	 /* numbers that A_OWN has given out */
	int kept;	 /* KB that were left when the last one ended */
};

/* Makes L's state the one of pp, and starts the scheduler's other parts.  Any
 * error is Lua's. */
struct lstate *host_open(lua_State *L, P *pp);

/* state.c */

/* What every state but the first is made after: the paths and so on of L, which has just
 * been opened as p0's.  */
void state_model(lua_State *L);
/* Called, protected, in each new state that is not the host's, when luapark is loaded. */
void state_onopen(lua_CFunction fn);
/* The scheduler's openp and closep. */
bool state_openp(P *pp);
void state_closep(P *pp);
/* The P that L's state is being opened for, or NULL: the host's. */
P *state_owner(lua_State *L);
/* Ends all threads of ours; false when some could not be stopped, and the process should
 * end at once. */
bool host_close(void);
/* A state of the host's is going to have us: false while another one has. */
bool host_enter(void);

/* pack.c: Gs that change Ps */

/* The scheduler's pack. */
enum packed host_pack(P *pp, G *gp, bool chatty);
/* A new goroutine of the function and n arguments on top of L, copied: any P may run
 * it.  NULL, and why on top, if something cannot be copied. */
G *host_newpacked(lua_State *L, struct lstate *ls, int n, const struct callsite *cs);
/* LUAPARK_DEBUG=portable: says, once for each place, why the function and n arguments on top
 * of L have to stay. */
void host_debugportable(lua_State *L, struct lstate *ls, int n, uint32_t site);
/* Pushes what the coroutine of gp, packed, is to call, and its argument. */
void host_pushboot(struct lstate *ls, lua_State *co, G *gp);

/* The scheduler's gcstep (idlegc.c). */
bool host_gcstep(P *pp);

/* interrupt.c */

/* Registers sethook and gethook in the table on top of L. */
void interrupt_open(lua_State *L, struct lstate *ls);
/* The scheduler's interrupt. */
void host_interrupt(P *pp);

/* Replaces an anchored value by the one on top of L, which it pops. */
static inline void host_setanchor(lua_State *L, struct lstate *ls, int idx)
{
	lua_xmove(L, ls->anchor, 1);
	lua_replace(ls->anchor, idx);
}

static inline void host_pushanchor(lua_State *L, struct lstate *ls, int idx)
{
	lua_pushvalue(ls->anchor, idx);
	lua_xmove(ls->anchor, L, 1);
}

/* The state that the running C function belongs to.  In a goroutine that is what
 * this thread runs; in the host it is the function's first upvalue, which every C
 * function of ours has (and which takes five times as long to ask). */
static inline struct lstate *hostof(lua_State *L)
{
	const M *mp = getm();
	return lp_likely(mp != NULL) ? mp->p->lua : lua_touserdata(L, lua_upvalueindex(1));
}

/* The G that runs on L's state, or NULL on g0 and in the host. */
static inline G *hostcurg(const struct lstate *ls)
{
	uint32_t cur = ls->pp->view.cur;
	return cur ? &sched.gs[cur] : NULL;
}

/* A G's function runs as xpcall(fn, handler, ...), since a traceback can only be
 * taken where an error is raised.  What that needs lies at the bottom of each of
 * our coroutines, for every G that it will serve. */
enum { B_XPCALL = 1, B_HANDLER, B_COUNT = B_HANDLER };

/* On co: xpcall; to be followed by the function and n arguments, */
static inline void host_begincall(lua_State *co)
{
	lua_pushvalue(co, B_XPCALL);
}

/* and then, in between, the handler.  nval: the arguments of the call. */
static inline void host_endcall(G *gp, lua_State *co, int n)
{
	lua_pushvalue(co, B_HANDLER);
	if (n > 0)
		lua_insert(co, -n - 1);
	gp->nval = (uint32_t)n + 2;
}

/* Registers functions with the state as upvalue into the table on top. */
void host_register(lua_State *L, struct lstate *ls, const luaL_Reg *funcs);

/* A new goroutine of the function and n arguments on top of L, which it pops.
 * Raises an error when there can be no more.  records: where on L A_RECORDS is;
 * cs: who wants it. */
G *host_newg(lua_State *L, struct lstate *ls, int n, int records, const struct callsite *cs);

/* Kills every goroutine, also those whose state has been closed.  The world is stopped. */
void host_killall(void);

/* What a gopark returns first when its unlockf raised an error, the second; and when the
 * second is a message with the values. */
extern char host_parkerr, host_parkmsg;

/* How a run ended; what it left on top of L. */
enum runend {
	RUN_OK,	      /* the main function's results */
	RUN_FAILED,   /* its error: a message with traceback, or the error object */
	RUN_PANIC,    /* nothing: another G's uncaught error (panic_take, panic_print) */
	RUN_DEADLOCK, /* a report of all Gs */
	RUN_SIGNAL,   /* the same: sched.signal came */
};

/* Runs the function and n arguments on top of L, which it pops, as the main G,
 * and whatever it starts, until nothing is alive.  After a bad end all Gs are
 * gone.  *nresults: how many values it pushed. */
enum runend host_run(lua_State *L, struct lstate *ls, int n, int *nresults);

/* Calls fn, with ud as its one argument, protected on the service coroutine: for
 * g0, and for what must not raise.  False when an error came of it; the error is
 * then on top of the service coroutine's stack, for the caller to take. */
bool host_protected(struct lstate *ls, lua_CFunction fn, void *ud);

/* What parking came to.  PARK_YIELD: the C function must `return lua_yield(L,
 * n)` at once.  PARK_DONE: the wait is over already (the C stack was kept). */
enum parked { PARK_YIELD, PARK_DONE };

/* Whether gp, running, can park by a plain yield: L is its own coroutine, and not
 * one of the user's in it, and no C call stands in between. */
static inline bool host_yields(lua_State *L, const G *gp)
{
	return lp_likely(gp != NULL) && lp_likely(L == gp->L) && lp_likely(lua_isyieldable(L));
}

/* gp, running, is in a bubble that has ended. */
static inline bool host_isover(const struct lstate *ls, const G *gp)
{
	return lp_unlikely(ls->pp->view.bubble != 0) && gp && bubble_isover(gp);
}

/* Why the running function may not park here, in words; NULL if it may, and then
 * host_park will not fail.  Ask before telling anybody that gp waits. */
const char *host_nopark(lua_State *L, struct lstate *ls);

/* The short way, where host_yields: the C function returns lua_yield(L, n) next. */
static inline void host_yieldpark(lua_State *L, struct lstate *ls, G *gp, enum waitreason reason)
{
	store_relaxed(&gp->reason, (uint8_t)reason);
	gp->parkL = L;
	ls->yield = GOUT_PARK;
}

/* Parks the running G for `reason`. */
enum parked host_park(lua_State *L, struct lstate *ls, enum waitreason reason);
/* The same, keeping the C stack wherever it stands: for C functions that have
 * more to do after the wait. */
void host_parkstk(lua_State *L, struct lstate *ls, enum waitreason reason);

/* Lets others run, keeping the C stack. */
void host_goschedstk(lua_State *L, G *gp);

/* Parks and returns from a C function: `return host_parkret(...)`.  keep: how
 * many values on top unlockf will find.  The function returns what goready gave. */
int host_parkret(lua_State *L, struct lstate *ls, enum waitreason reason, int keep);

/* Pushes gp's handle.  May raise a memory error. */
void host_pushg(lua_State *L, struct lstate *ls, G *gp);
/* The living G behind the handle at idx, or NULL if it is dead; an argument
 * error if there is no handle. */
G *host_checkg(lua_State *L, int idx);

/* The registered libraries, each a table of functions on top of L. */
void lib_proc_open(lua_State *L, struct lstate *ls);
void lib_park_open(lua_State *L, struct lstate *ls);
void lib_coroutine_open(lua_State *L, struct lstate *ls);
void lib_require_open(lua_State *L, struct lstate *ls);
void lib_net_open(lua_State *L, struct lstate *ls);
void lib_syscall_open(lua_State *L, struct lstate *ls);
void lib_http_open(lua_State *L, struct lstate *ls);
void lib_load_open(lua_State *L, struct lstate *ls);
void lib_share_open(lua_State *L, struct lstate *ls);
void lib_sync_open(lua_State *L, struct lstate *ls);
void lib_values_open(lua_State *L, struct lstate *ls);
void lib_synctest_open(lua_State *L, struct lstate *ls);

/* lib_synctest.c */

/* Why who is in a bubble that has ended must not wait. */
extern const char synctest_over[];
/* gp, running, is in a bubble that has ended, and wants to wait all the same: if it has wanted that
 * too often it is ended where it stands.  sel: the sudog that stands for its wait, or 0: it is in no line. */
void synctest_insists(lua_State *L, struct lstate *ls, G *gp, uint32_t sel);

/* gp, which may be loading modules, is dead: who waits for them goes on. */
void lib_require_gdead(struct lstate *ls, G *gp);

/* frames.c */

/* The Lua function that has called the running C function is of our own files. */
void ours_init(lua_State *L);
/* What a function's file is called among ours ("chan.lua"), or NULL: it is not ours. */
const char *ours_file(const lua_Debug *ar);
/* Pushes a goroutine's stack, innermost first, each line as in "\tt.lua:3: in function 'f'\n";
 * how many.  base: the G's coroutine; top: it, or the user's in it, where the stack is asked
 * for from `level` on; own: the last level of base is our xpcall. */
int host_pushframes(lua_State *L, lua_State *base, lua_State *top, int level, bool own);

/* lib_coroutine.c */

/* Pushes the function that gp was started with, and its first argument; or nothing: false. */
bool host_pushstart(lua_State *L, const G *gp);

/* traceback.c */

/* Pushes "goroutine 7 [chan receive]". */
void host_pushtitle(lua_State *L, struct lstate *ls, G *gp);
/* Pushes why gp waits, or its status if it does not. */
void host_pushreason(lua_State *L, struct lstate *ls, G *gp);
/* Pushes what is known of gp: title, traceback, created by. */
void host_pushstack(lua_State *L, struct lstate *ls, G *gp);
/* The same of all living Gs of all Ps.  The world is stopped. */
void host_pushstacks(lua_State *L, struct lstate *ls);
/* Pushes "" or "created by function 'NAME' at FILE:LINE in goroutine N\n". */
void host_pushcreatedby(lua_State *L, const G *gp);

/* site.c: where goroutines were created */

/* The place that called the running C function, as cs says. */
uint32_t site_of(lua_State *L, struct lstate *ls, const struct callsite *cs);
/* "function 'NAME' at FILE:LINE", or NULL if it is not known. */
const char *site_creator(uint32_t site);
/* "FILE:LINE", or NULL. */
const char *site_place(uint32_t site);
/* Whether this is the first report about the place. */
bool site_report(uint32_t site);

#endif
