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

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "asm/cstack.h"
#include "asm/fpenv.h"
#include "base/atomic.h"
#include "base/lock.h"
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
	GF_PROXY = 256,	   /* coroutine.running() was asked in it */
	GF_WOKEN = 512,	   /* readied between telling where it waits and parking */
	GF_FRESH = 1024,   /* has not run yet */
	GF_STAYS = 2048,   /* fresh, and found not to be portable */
	GF_PACKED = 4096,  /* fresh, and a message (G.mail): any P may run it */
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
	atomic_u64 id; /* 0: unused.  Never used twice. */
	void *L;     /* its coroutine; NULL before it first runs */
	union {
		void *parkL; /* the coroutine that stands in the park: L, or the user's own above it */
		void *mail;  /* GF_PACKED: function and arguments, for the Lua floor */
	};
	struct cstack *stk; /* running, or parked inside a C call; NULL otherwise */
	atomic_ptr(P) p;    /* home, once started: only its owner may ready or run it.  NULL while packed */
	struct timer *timer; /* what ends the wait at its deadline */
	int64_t waitsince;   /* ns, the P's last look at the clock when it parked */
	uint64_t parent;     /* id of the G that created it */
	uint32_t slot;
	uint32_t schedlink; /* slot of the next G in a list; 0 ends it */
	uint32_t site;	    /* where it was created: an index kept by the Lua floor */
	uint32_t sel;	    /* the sudog that stands for the whole wait (park/sudog.h); 0: none */
	int32_t wake;	    /* what the waker wants to tell: meaning is the waiter's */
	atomic_u32 parkseq; /* counts waits, by two; odd while it waits in gopark and nobody has readied it */
	uint32_t nval;	    /* values on parkL (or L) that it is resumed with */
	atomic_u8 status;
	atomic_u8 reason; /* enum waitreason */
	uint16_t flags;
};

/* The owner's run queue: a ring that no other thread takes from, and behind the ring an unbounded list, since a started G may not leave.
 *
 *   order: next, then ring[head..tail), then over..overtail
 *   |queue| == (next != NULL) + (tail - head) + nover
 *   nover > 0 implies that new Gs go to the list (first in, first out holds) */
#ifndef RUNQ_SIZE
#define RUNQ_SIZE 256u
#endif
struct runq {
	G *next; /* readied by the G that runs now: goes first, inherits the time slice */
	atomic_u32 head, tail; /* atomic for sysmon, which looks whether there is anybody */
	uint32_t over, overtail, nover;
	uint32_t seen; /* head at the last runqturn, if somebody waited in the ring */
	G *ring[RUNQ_SIZE];
};

/* Packed Gs, which any P may run: Go's lock-free ring.  The owner puts at the tail;
 * anybody takes at the head, thieves half of it at a time.  What does not fit goes
 * to the global queue. */
struct stealq {
	atomic_u32 head; /* taken by cas: acquire pairs with the owner's release of tail */
	atomic_u32 tail; /* the owner's alone */
	atomic_ptr(G) ring[RUNQ_SIZE];
};

/* Something to be done on another P's g0; the sender's allocation, freed by fn. */
struct mail {
	struct mail *next;
	void (*fn)(P *pp, struct mail *m);
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

enum pstatus {
	Pdead,	  /* has no state: not made yet, or drained */
	Pidle,	  /* on the idle list; its M blocks in its poller, or it has no M yet */
	Prunning, /* an M owns it and looks for work or has some */
	Pstopped, /* its M waits for the world to start again */
	Phost,	  /* p0 between two runs */
};

/* Members up to `inbox` are the owner's: the M that runs the P; or, while it is idle,
 * stopped or the host's, whoever holds sched.lock. */
struct P {
	struct pview view;
	uint32_t id;
	uint32_t gfree;	 /* dead Gs that kept their coroutine; the warmest first */
	uint32_t gempty; /* free Gs without one, of its own range */
	uint32_t gtop;	 /* slots of its own range from gbase to here were used */
	uint32_t gbase, gend;
	uint32_t nevent; /* Gs waiting for an outside event that keep the program alive */
	uint32_t nhome;	 /* started Gs that live here */
	M *m;
	struct runq runq;
	struct cstackpool stacks;
	uint64_t goid, goidend; /* ids to give out */
	uint64_t polltick; /* cputicks at the last look at timers and network */
	uint32_t lookin;   /* Gs to run before the tick counter is read again, */
	uint32_t lookevery; /* and how many it was last time */
	uint32_t oldtail;  /* the ring's tail at the last look: who is before it has waited since */
	uint64_t looktick; /* schedtick at the last look, */
	int64_t slice;	   /* and how long a G runs until it parks, ns: a running mean */
	uint32_t looks;	   /* since the queues that others may take from had their turn */
	uint32_t rand;	   /* xorshift32 */
	int64_t now;	   /* ns at that look */
	int64_t polled;	   /* ns when the network was last polled */
	uint64_t collected; /* schedtick when the collector last had nothing to do while it was idle */
	bool spinning;	   /* counted in sched.nmspinning: looks for others' work */
	bool remote;	   /* was soon woken by another P when it was last idle: waiting awake pays */
	bool draining;	   /* gomaxprocs shrank: ends when no started G lives here.  Under sched.lock */
	struct timers *timers;	 /* park/timer.c */
	struct netpoll *netpoll; /* park/netpoll.c */
	struct lstate *lua;	 /* lua/host.c */
	P *link;		 /* idle list.  Under sched.lock */

	/* What others read or write, on cache lines of their own. */
	_Alignas(64) atomic_u32 inbox; /* started Gs of this P that others readied, last first; slot */
	atomic_ptr(struct mail) post;
	atomic_u32 gback; /* slots of its range whose Gs died on other Ps */
	atomic_u8 status;    /* enum pstatus; written under sched.lock */
	atomic_flg handspin; /* woken as a spinning M.  Under sched.lock */
	_Alignas(64) struct stealq stealq;
	_Alignas(64) atomic_u64 schedtick; /* the owner writes: counts Gs run, */
	atomic_i64 nlive;		   /* Gs born minus Gs that died here, */
	atomic_u32 npacked;		   /* and Gs packed here when it was interrupted */
};

struct M {
	struct gobuf g0; /* the scheduler's context while a G runs */
	G *curg;
	P *p;
	struct fpenv fpenv; /* as the thread computes, and every G that changes nothing */
	pthread_t thread;
	bool exits;	    /* its thread shall end.  Under sched.lock */
	struct note note;   /* it has no P, and waits for one (nextp) or its end */
	P *nextp;
	M *link; /* idle list.  Under sched.lock */
	M *all;  /* all but m0.  Under sched.lock */
};

enum packed { PACK_DONE, PACK_LATER, PACK_NEVER };

/* What the scheduler asks of the floors above.  On g0 unless it says otherwise. */
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
	/* Readies Gs whose descriptors are ready; does not block. */
	void (*netpoll)(P *pp);
	/* Blocks until netpoll would have something to do, wakenetpoll was called, or
	 * the time `until` (ns; < 0: for ever) has come.  Touches no G and no P. */
	void (*netblock)(P *pp, int64_t until);
	/* Whether a timer would ready a G, or a request is under way.  Holding sched.lock,
	 * pp being idle or ours. */
	bool (*pending)(P *pp);
	/* gp stops waiting before its timer fired. */
	void (*stoptimer)(G *gp);
	/* Ends a netblock.  Any thread, and in a signal handler. */
	void (*wakenetpoll)(P *pp);

	/* The others may be NULL: then there is one P. */

	/* Gives pp a state, a poller and timers; false if that cannot be. */
	bool (*openp)(P *pp);
	/* Takes them away again. */
	void (*closep)(P *pp);
	/* Turns gp, fresh and on pp's queue, into something that any P can run
	 * (GF_PACKED), if it may and should go.  chatty: the Gs of pp are woken and park
	 * again soon, so that one which shares a channel with them had better stay.  On
	 * g0, or on the running G's stack. */
	enum packed (*pack)(P *pp, G *gp, bool chatty);
	/* Whoever runs Lua on pp shall soon call schedinterrupted.  In a signal handler,
	 * on the thread that runs pp. */
	void (*interrupt)(P *pp);
	/* A step of the collector; false if there is no more to do. */
	bool (*gcstep)(P *pp);
	/* The run ends, and m0 is in a C function that does not return: the process ends here.
	 * Holding sched.lock, any M.  Does not return. */
	void (*abandon)(void);
};

enum { STOP_NOTHING, STOP_WORLD = 1, STOP_EXIT = 2 };

/* What is global.  Members without a note are written at start, before the first G runs. */
struct sched {
	struct lock lock;
	struct schedops ops;
	bool started;
	bool steal;	    /* LUAPARK_STEAL */
	bool stress;	    /* LUAPARK_DEBUG=stress: choices are random */
	uint32_t ncpu;
	uint32_t maxprocs;  /* gomaxprocs can be no more than this: a power of two */
	atomic_ptr(P) *allp; /* [maxprocs]; made as they are needed, in order, and never freed */

	/* The table of Gs: each P makes new ones in a range of its own, so that the
	 * Lua floor's tables by slot have no holes. */
	G *gs;
	uint32_t gsperp;

	/* Under lock; the atomic ones may be read without. */
	atomic_u32 gomaxprocs;
	P *pidle;
	M *midle, *allm;
	uint32_t nrunning;	/* Ps in Prunning */
	atomic_u32 npidle;	/* idle Ps, and Ps not made yet */
	atomic_u32 nmspinning;
	struct gqueue {
		uint32_t head, tail; /* slots, by schedlink */
		atomic_u32 n;
	} runq;
	atomic_u32 stopping;	/* STOP_ bits: Ms come to a halt at g0 */
	bool stopper;		/* somebody stops the world */
	struct cond world;	/* nrunning fell, or stopping ended */
	bool dead;		/* nothing is alive: the run is over */
	const char *exitwhy;	/* somebody called schedstop */
	int64_t patience;	/* ns that the end of a run waits for who does not halt; < 0: for ever */
	bool halted;		/* no run, or all came to a halt at the end of the last one */

	atomic_u64 goidgen;	/* last id given to a P */
	atomic_u32 signal; /* that the program must end by; 0: none */
};

_Static_assert(sizeof(struct G) <= 96, "a parked goroutine must stay small");

extern struct sched sched;
extern M m0;
extern P p0;

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
/* A dead G without a coroutine, or NULL.  Owner P only. */
G *gfgetempty(P *pp);
/* gp is dead; it joins the free list its L decides, or goes back to the P whose slot it
 * has; that of a slot of another P has no L.  Owner P only. */
void gfput(P *pp, G *gp);

/* Goroutines that are not dead.  Any M; exact while nobody else runs. */
uint32_t gcount(void);

/* The next G that is not dead, from slot on, whichever P made it; NULL after the last.
 * The world is stopped. */
G *gnext(uint32_t slot);

static inline bool gisown(const P *pp, uint32_t slot)
{
	return slot - pp->gbase < pp->gend - pp->gbase;
}

/* The place of gp's slot in pp's tables: from 1, dense for Gs that pp made. */
static inline uint32_t gindex(const P *pp, uint32_t slot)
{
	return lp_likely(gisown(pp, slot)) ? slot - pp->gbase : slot + (1u << 30);
}

/* runq.c: a P's own queue ----------------------------------------------------- */

/* Queues gp; next: it runs before all others.  Owner P only. */
void runqput(P *pp, G *gp, bool next);
/* The next G or NULL.  Owner P only. */
G *runqget(P *pp);
uint32_t runqlen(const P *pp);
/* Two Gs that ready each other by turns, each through `next`, must not keep the others from
 * running: if nobody of the ring has run since the last call, `next` goes behind it.
 * Owner P only. */
void runqturn(P *pp);
bool runq_isvalid(const P *pp);

/* Packs at most max of the oldest fresh Gs that stand before `before` in the ring
 * (all: pp->runq.tail) and puts them into the stealq; how many.  chatty: see ops.pack.
 * Owner P only. */
uint32_t runqpack(P *pp, uint32_t before, uint32_t max, bool chatty);

/* stealq.c: what goes from P to P ---------------------------------------------- */

/* Queues a packed gp for whoever comes first.  Owner P only. */
void stealqput(P *pp, G *gp);
/* The oldest, or NULL.  Owner P only. */
G *stealqget(P *pp);
/* Takes half of victim's for pp and returns one of them, or NULL.  Owner of pp only. */
G *stealqsteal(P *pp, P *victim);
bool stealq_isempty(const P *pp);

/* A G of the global queue for pp, which gets its share of the others too, or NULL.
 * Holding sched.lock. */
G *globrunqget(P *pp);
void globrunqput(G *gp);

/* gp, started, whose wait somebody on another P has decided, is given to its home.
 * Any M. */
void inboxput(G *gp);
/* Readies all of pp's inbox, first come first, and does what the post wants.  Whether
 * there was any.  On g0; owner P only. */
bool inboxrun(P *pp);
/* Any M. */
void postmail(P *pp, struct mail *m);

static inline bool hasincoming(P *pp)
{
	return load_relaxed(&pp->inbox) != 0 || load_relaxed(&pp->post) != NULL;
}

/* p.c: Ps, idle ones, and how many ---------------------------------------------- */

void procinit(void);
/* CPUs that this process may use: affinity and the cgroup's quota respected. */
uint32_t numcpu(void);
/* pp is idle from now on.  Holding sched.lock. */
void pidleput(P *pp);
/* pp is not idle any more.  Holding sched.lock. */
void pidletake(P *pp);
/* Some idle P, or one that was not made yet (*made: a thread makes it now); it counts as
 * running.  NULL if there is none.  Holding sched.lock. */
P *pidleget(bool *made);
/* Counts npidle anew.  Holding sched.lock. */
void procrecount(void);
/* pp was idle, maybe: now it runs, and looks at its inbox.  Any M. */
void wakeidle(P *pp);
/* There may be work for anybody: an idle P looks for it.  Any M. */
void wakep(void);
/* Sets gomaxprocs, from 1 to sched.maxprocs; stops the world.  On a G or the host. */
void procresize(uint32_t n);

/* m.c: threads -------------------------------------------------------------------- */

/* The M of this thread.  A function and not a variable: a G may be on another
 * thread after a switch, and a compiler may keep a __thread address. */
M *getm(void);
void minit(void);
/* For the thread that becomes an M, or ceases to be one. */
void setm(M *mp);
/* Runs pp, which has no M: an idle M, or a new thread.  False if there can be none.
 * Holding sched.lock. */
bool startm(P *pp);
/* Interrupts whoever runs pp (see ops.interrupt).  Holding sched.lock. */
void interrupt(P *pp);
/* Ends all Ms but m0, and their Ps' states, and the monitor: nothing of ours runs
 * afterwards.  False when some M did not come to a halt in time.  In the host. */
bool stopms(void);

/* sysmon.c ------------------------------------------------------------------------ */

/* Starts the monitor, once.  Holding sched.lock. */
void sysmonstart(void);
/* Some P runs again.  Holding sched.lock. */
void sysmonwake(void);
void sysmonstop(void);

/* stop.c: stopping the world, and ends --------------------------------------------- */

/* Returns when no other P runs.  On g0, on a G's stack, or the host's; may wait, and
 * may let another stopper go first. */
void stoptheworld(void);
void starttheworld(void);
/* A P may not run now: its M comes to a halt until the world starts again.  False when
 * the M must leave the scheduler's loop instead.  On g0. */
bool halt(M *mp, P *pp);
/* pp, which was idle, runs again, as soon as the world does.  On g0. */
void leaveidle(M *mp, P *pp);
/* For m0: the run begins, with p0; and ends, with the world stopped (false: some M did
 * not come to a halt in sched.patience). */
void runbegin(M *mp, P *pp);
bool runend(P *pp);
/* Nothing is alive?  All Ps are idle or ours; if so sched.dead is set.  Holding
 * sched.lock. */
bool checkdead(void);

/* Makes mstart return `why` as soon as the scheduler is reached.  Any M. */
void schedstop(const char *why);

/* The program must end: the scheduler returns to its caller soon, with sched.signal
 * telling why.  In a signal handler. */
void schedsignal(int sig);

/* What ops.interrupt has asked for: true if the running G must leave for g0.
 * On a G's stack. */
bool schedinterrupted(P *pp);

/* proc.c -------------------------------------------------------------------- */

void schedinit(const struct schedops *ops);

/* Whether the comma-separated list in LUAPARK_DEBUG has this word. */
bool scheddebug(const char *word);

/* find.c -------------------------------------------------------------------------- */

/* The next G to run; blocks while there is none.  NULL when the run is over, the M must
 * end, or pp is drained.  On g0. */
G *findrunnable(M *mp, P *pp);
/* Whether there is a packed G that an idle P could take.  Any M. */
bool anystealable(void);
/* Counts pp among the spinning, or no more.  Owner P only. */
void setspinning(P *pp, bool on);
/* If other Ps are idle: packs some of the oldest fresh Gs that stand before `before`
 * in the ring, and wakes a P for them.  Owner P only; on g0 or the running G's stack. */
void servethieves(P *pp, uint32_t before, bool chatty);

/* Makes gp (from gfget, prepared by the caller) a new goroutine and queues it.
 * Owner P only. */
void newproc(P *pp, G *gp, uint32_t site);
/* The same for one that is packed (G.mail), which any P may run.  Owner P only. */
void newprocpacked(P *pp, G *gp, uint32_t site);

/* Runs goroutines on this thread, m0, until nothing is alive, or somebody called
 * schedstop.  Returns NULL in the first case, what schedstop was told in the
 * second; then the world is stopped.  Not re-entrant. */
const char *mstart(M *mp, P *pp);
/* The scheduler's loop of every M: until the end of the run, or pp's. */
void schedule(M *mp, P *pp);

/* What runs on every pooled C stack: one G after another. */
void gmain(void *unused);

/* Parks the running G with its C stack: returns after goready.  The short way,
 * where Lua can yield, is rung's GOUT_PARK.  Ask cstack_spare first. */
void gopark_stk(G *gp);

/* Gives the rest of this time slice to others, keeping the C stack. */
void gosched_stk(G *gp);

/* Ends the running G from inside C calls: its C stack is forgotten, not unwound. */
_Noreturn void goexit_stk(G *gp);

/* gp, whose wait the caller has decided, becomes runnable.  At home it runs next: the
 * running G hands it the rest of its time slice; on another P it is put into its
 * home's inbox.  If gp is the running G itself, which has told where it waits and is
 * about to park (a finalizer readied it), its park will not wait.  Any M. */
void goready(G *gp, int32_t wake);

/* gp, which waits, becomes runnable behind all others: for events, which nobody's
 * time slice pays for.  Its home P's owner only. */
void goreadylast(G *gp, int32_t wake);

/* Makes the caller the one who readies goroutine `id`, if it waits in gopark and nobody
 * else has.  Any M. */
bool gclaim(G *gp, uint64_t id);

/* Marks or unmarks gp as a daemon.  Its home P's owner only. */
void gsetdaemon(G *gp, bool daemon);

/* Kills every goroutine: for a host that goes on after an error.  The world is
 * stopped. */
void gkillall(void);

#endif
