/* SPDX-License-Identifier: MIT */
/* sched.h - the fields of G, M and P, and who may touch them.
 *
 *   G  a goroutine: a Lua coroutine and its scheduling state
 *   M  an OS thread, with its system stack g0, on which the scheduler runs
 *   P  the right to run Lua: one LuaJIT state, run queues, timers, a poller
 *
 * This floor knows neither Lua nor libuv.  What it needs from above (run this
 * G's coroutine, poll the network, fire the timers) it asks of struct schedops,
 * which the floors above fill in at start, so that all includes point down. */
#ifndef LUAPARK_SCHED_SCHED_H
#define LUAPARK_SCHED_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "asm/cstack.h"
#include "asm/fpenv.h"
#include "base/atomic.h"
#include "base/throw.h"

typedef struct G G;
typedef struct M M;
typedef struct P P;

/* Go's statuses.  Who owns the coroutine, and whether the G is on a queue:
 *
 *   idle       being made; no queue; owned by its maker
 *   runnable   on a run queue; owned by that queue's P
 *   running    on no queue; owned by the M that executes it
 *   syscall    running C code that needs no Lua; on no queue
 *   waiting    parked; on no run queue, but known to whoever will ready it
 *   dead       finished or unused; on the free list
 *   preempted  stopped itself because it was asked to; on no queue yet */
enum gstatus { Gidle, Grunnable, Grunning, Gsyscall, Gwaiting, Gdead, Gpreempted };

/* Why a G waits.  One list makes the enum, the text, and whether the event
 * that ends the wait comes from outside (so that the waiting G is alive: see
 * checkdead in proc.c). */
#define WAITREASONS(X)                         \
	X(NONE, "", 0)                         \
	X(USER, "gopark", 0)                   \
	X(CHANRECV, "chan receive", 0)         \
	X(CHANSEND, "chan send", 0)            \
	X(CHANNIL, "chan receive (nil chan)", 0) \
	X(SELECT, "select", 0)                 \
	X(SELECTNOCASES, "select (no cases)", 0) \
	X(SLEEP, "sleep", 1)                   \
	X(WAITGROUP, "sync.WaitGroup.Wait", 0) \
	X(MUTEX, "sync.Mutex.Lock", 0)         \
	X(IO, "IO wait", 1)                    \
	X(RESOLVE, "DNS lookup", 1)            \
	X(REQUIRE, "require", 0)

enum waitreason {
#define X(name, text, event) WR_##name,
	WAITREASONS(X)
#undef X
	WR_COUNT
};

extern const char *const waitreasontext[WR_COUNT];

/* Bits of G.flags; the owner of the G (see enum gstatus) writes them. */
enum {
	GF_DAEMON = 1,	   /* keeps no program alive */
	GF_EVENT = 2,	   /* counted in its P's nevent while it waits */
	GF_GOPARK = 4,	   /* waits in the user's gopark: goready may wake it */
	GF_HANDLE = 8,	   /* a Lua handle of it exists */
	GF_PARKERR = 16,   /* the values it is resumed with are an error to raise */
	GF_REASONTEXT = 32, /* the wait reason is the user's own text, kept by the Lua floor */
	GF_TIMEOUT = 64,   /* woken by its timer */
	GF_NOREUSE = 128,  /* its coroutine must not serve another G */
	GF_WOKEN = 512,	   /* readied between telling where it waits and parking */
	GF_PROXY = 256,	   /* coroutine.running() was asked in it */
};

struct timer;

/* Why a G left its C stack for g0.  After the first three the stack is free
 * again; after the others the G still stands on it (or has thrown it away). */
enum gout { GOUT_PARK = 1, GOUT_GOSCHED, GOUT_EXIT, GOUT_PARKSTK, GOUT_GOSCHEDSTK, GOUT_EXITSTK };

/* A goroutine.  Lives in a slot of the table of Gs for the whole program and is
 * used again after death; (slot, id) names one goroutine for ever.
 *
 * 96 bytes: with a million parked Gs each field is a megabyte or more. */
struct G {
	uint64_t id; /* 0: unused.  Never used twice. */
	void *L;     /* its coroutine; NULL before it first runs */
	void *parkL; /* the coroutine that stands in the park: L, or the user's own above it */
	struct cstack *stk; /* running, or parked inside a C call; NULL otherwise */
	P *p;		    /* home, once started: only its owner may ready or run it */
	struct timer *timer; /* what ends the wait at its deadline */
	int64_t waitsince;   /* ns, the P's last look at the clock when it parked */
	uint64_t parent;     /* id of the G that created it */
	uint32_t slot;
	uint32_t schedlink; /* slot of the next G in a list; 0 ends it */
	uint32_t site;	    /* where it was created: an index kept by the Lua floor */
	uint32_t sel;	    /* the sudog that stands for the whole wait (park/sudog.h); 0: none */
	int32_t wake;	    /* what the waker wants to tell: meaning is the waiter's */
	uint32_t parkseq;   /* waits that have ended: a waiter is named by G and this */
	uint32_t nval;	    /* values on parkL (or L) that it is resumed with */
	atomic_u8 status;
	uint8_t reason; /* enum waitreason */
	uint16_t flags;

};

/* The owner's run queue: a ring without atomics, since no other thread looks at
 * it, and behind the ring an unbounded list, since a started G may not leave.
 *
 *   order: next, then ring[head..tail), then over..overtail
 *   |queue| == (next != NULL) + (tail - head) + nover
 *   nover > 0 implies that new Gs go to the list (first in, first out holds) */
#ifndef RUNQ_SIZE
#define RUNQ_SIZE 256u
#endif
struct runq {
	G *next; /* readied by the G that runs now: goes first, inherits the time slice */
	uint32_t head, tail;
	uint32_t over, overtail, nover;
	G *ring[RUNQ_SIZE];
};

/* The part of a P that compiled Lua code reads through FFI (lua/luapark/rt.lua
 * has the same layout).  Keep it first. */
struct pview {
	uint32_t cur;	    /* slot of the running G; 0: none, we are on g0 or in the host */
	uint32_t sudogfree; /* head of the free list of sudogs */
	int32_t wake;	    /* what the waker of the running G said; read it first thing after a park */
	uint32_t reason;    /* arguments of the next park: enum waitreason, */
	uint32_t sel;	    /* and G.sel */
};

struct timers;
struct netpoll;
struct lstate;

struct P {
	struct pview view;
	uint32_t id;
	uint32_t gfree;	 /* dead Gs that kept their coroutine; the warmest first */
	uint32_t gempty; /* free Gs without one */
	uint32_t ngfree;
	uint32_t nevent; /* Gs waiting for an outside event that keep the program alive */
	M *m;
	struct runq runq;
	struct cstackpool stacks;
	uint64_t schedtick;
	uint64_t polltick; /* cputicks at the last look at timers and network */
	uint32_t lookin;   /* Gs to run before the tick counter is read again, */
	uint32_t lookevery; /* and how many it was last time */
	int64_t now;	   /* ns at that look */
	int64_t polled;	   /* ns when the network was last polled */
	struct timers *timers;	 /* park/timer.c */
	struct netpoll *netpoll; /* park/netpoll.c */
	struct lstate *lua;	 /* lua/host.c */
};

struct M {
	struct gobuf g0; /* the scheduler's context while a G runs */
	G *curg;
	P *p;
	struct fpenv fpenv;  /* as the thread computes, and every G that changes nothing */
	const char *exitwhy; /* set: the scheduler returns to its caller */
};

/* What the scheduler asks of the floors above.  All on g0 but rung. */
struct schedops {
	/* Runs gp's coroutine until it parks, yields or ends; on gp's C stack.
	 * Returns what g0 shall do next: one of the GOUT_ that give the stack back. */
	enum gout (*rung)(G *gp);
	/* The user's unlockf of a gopark: false resumes gp at once. */
	bool (*unlockf)(G *gp);
	/* gp is dead: drop what the Lua floor kept for it; true if its coroutine
	 * can serve again. */
	bool (*gdead)(G *gp);
	/* Fires what is due at `now`; returns when the next is due, 0 for never. */
	int64_t (*timers)(P *pp, int64_t now);
	/* Readies Gs whose descriptors are ready.  until: 0 does not block, < 0
	 * blocks without end, else blocks until that time (ns). */
	void (*netpoll)(P *pp, int64_t until);
	/* Whether a timer would ready a G, or a request is under way. */
	bool (*pending)(P *pp);
	/* gp stops waiting before its timer fired. */
	void (*stoptimer)(G *gp);
	/* Ends a netpoll that blocks.  Any thread, and in a signal handler. */
	void (*wakenetpoll)(P *pp);
};

/* What is global.  Written at start, before the first G runs, but for ids. */
struct sched {
	struct schedops ops;
	uint64_t goidgen;  /* last id given */
	uint32_t ngs;	   /* slots in use or free: 1..ngs-1 exist */
	uint32_t nlive;	   /* Gs that are not dead */
	G *gs;		   /* the table: gs[slot] */
	uint32_t gsmax;
	bool started;
	atomic_u32 signal; /* that the program must end by; 0: none */
};

_Static_assert(sizeof(struct G) <= 96, "a parked goroutine must stay small");

extern struct sched sched;
extern M m0;
extern P p0;

/* The M of this thread.  A function and not a variable: a G may be on another
 * thread after a switch, and a compiler may keep a __thread address. */
M *getm(void);

static inline G *getg(void)
{
	return getm()->curg;
}

static inline enum gstatus readgstatus(const G *gp)
{
	return (enum gstatus)load_relaxed(&gp->status);
}

/* The only writer of a status.  Throws when it was not `from`. */
static inline void casgstatus(G *gp, enum gstatus from, enum gstatus to)
{
	if (lp_unlikely(load_relaxed(&gp->status) != from))
		throw("bad g status");
	store_relaxed(&gp->status, (uint8_t)to);
}

const char *gstatustext(const G *gp);

/* g.c: making and keeping Gs ------------------------------------------------ */

/* A dead G to use: with a coroutine if one is free, else without, else new.
 * NULL when the table is full.  Owner P only. */
G *gfget(P *pp);
/* A coroutine to use: takes a dead G that has one, or NULL.  Owner P only. */
G *gfgetstarted(P *pp);
/* gp is dead; it joins the free list its L decides.  Owner P only. */
void gfput(P *pp, G *gp);

/* runq.c -------------------------------------------------------------------- */

/* Queues gp; next: it runs before all others.  Owner P only. */
void runqput(P *pp, G *gp, bool next);
/* The next G or NULL.  Owner P only. */
G *runqget(P *pp);
uint32_t runqlen(const P *pp);
bool runq_isvalid(const P *pp);

/* proc.c -------------------------------------------------------------------- */

void schedinit(const struct schedops *ops);

/* Makes gp (from gfget, prepared by the caller) a new goroutine and queues it.
 * Owner P only. */
void newproc(P *pp, G *gp, uint32_t site);

/* Runs goroutines on this thread until nothing is alive, or somebody called
 * schedstop.  Returns NULL in the first case, what schedstop was told in the
 * second.  Not re-entrant. */
const char *mstart(M *mp, P *pp);

/* Makes mstart return `why` as soon as the scheduler is reached.  On this M. */
void schedstop(const char *why);

/* The program must end: the scheduler returns to its caller soon, with sched.signal
 * telling why.  A G that computes is not stopped by this.  In a signal handler. */
void schedsignal(int sig);

/* Parks the running G with its C stack: returns after goready.  The short way,
 * where Lua can yield, is rung's GOUT_PARK.  Ask cstack_spare first. */
void gopark_stk(G *gp);

/* Gives the rest of this time slice to others, keeping the C stack. */
void gosched_stk(G *gp);

/* Ends the running G from inside C calls: its C stack is forgotten, not unwound. */
_Noreturn void goexit_stk(G *gp);

/* gp, which waits, becomes runnable and runs next: the running G hands it the
 * rest of its time slice.  If gp is the running G itself, which has told where it
 * waits and is about to park (a finalizer readied it), its park will not wait.
 * Its home P's owner only. */
void goready(G *gp, int32_t wake);

/* gp, which waits, becomes runnable behind all others: for events, which nobody's
 * time slice pays for.  Its home P's owner only. */
void goreadylast(G *gp, int32_t wake);

/* Marks or unmarks gp as a daemon. */
void gsetdaemon(G *gp, bool daemon);

/* Kills every goroutine: for a host that goes on after an error.  Not while the
 * scheduler runs. */
void gkillall(P *pp);

#endif
