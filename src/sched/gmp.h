/* SPDX-License-Identifier: MIT */
/* gmp.h - the fields of G, M and P, and who may touch them.
 *
 *   G  a goroutine: a Lua coroutine and its scheduling state
 *   M  an OS thread, with its system stack g0, on which the scheduler runs
 *   P  the right to run Lua: one LuaJIT state, run queues, timers, a poller
 *
 * This floor knows neither Lua nor libuv.  What it needs from above (run this
 * G's coroutine, poll the network, fire the timers) it asks of struct schedops,
 * which the floors above fill in at start, so that all includes point down. */
#ifndef LUAPARK_SCHED_GMP_H
#define LUAPARK_SCHED_GMP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "asm/cstack.h"
#include "asm/fpenv.h"
#include "base/atomic.h"
#include "base/lock.h"

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

/* Why a G waits.  One list makes the enum, the text, whether the event that ends
 * the wait comes from outside (so that the waiting G is alive: see checkdead in
 * stop.c), and whether a G of a bubble is durably blocked by it (bubble.h).  The
 * OWN ones are those of a bubble's G for what its bubble has made. */
#define WAITREASONS(X)                         \
	X(NONE, "", 0, 0)                      \
	X(USER, "gopark", 0, 1)                \
	X(CHANRECV, "chan receive", 0, 0)      \
	X(CHANSEND, "chan send", 0, 0)         \
	X(CHANNIL, "chan receive (nil chan)", 0, 1) \
	X(SELECT, "select", 0, 0)              \
	X(SELECTNOCASES, "select (no cases)", 0, 1) \
	X(SLEEP, "sleep", 1, 1)                \
	X(WAITGROUP, "sync.WaitGroup.Wait", 0, 0) \
	X(MUTEX, "sync.Mutex.Lock", 0, 0)      \
	X(RLOCK, "sync.RWMutex.RLock", 0, 0)   \
	X(RWLOCK, "sync.RWMutex.Lock", 0, 0)   \
	X(COND, "sync.Cond.Wait", 0, 1)        \
	X(ONCE, "sync.Once.Do", 0, 0)          \
	X(SEMAPHORE, "semaphore acquire", 0, 0) \
	X(IO, "IO wait", 1, 0)                 \
	X(RESOLVE, "DNS lookup", 1, 0)         \
	X(REQUIRE, "require", 0, 0)            \
	X(ONERROR, "onerror", 0, 0)            \
	X(OWNRECV, "chan receive", 0, 1)       \
	X(OWNSEND, "chan send", 0, 1)          \
	X(OWNSELECT, "select", 0, 1)           \
	X(OWNWAITGROUP, "sync.WaitGroup.Wait", 0, 1) \
	X(OWNSEMAPHORE, "semaphore acquire", 0, 1) \
	X(SYNCTESTRUN, "synctest.Run", 0, 0)   \
	X(SYNCTESTWAIT, "synctest.Wait", 0, 1)

enum waitreason {
#define X(name, text, event, durable) WR_##name,
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
	GF_LOCKED = 8192,  /* only one M may run it: that whose lockedg it is */
	GF_FAILING = 16384, /* its function has failed, and the Lua floor knows by what */
	GF_BUBBLE = 32768, /* in a bubble: inbubble */
};

struct timer;
struct bubble;
struct bubbled;

/* Why a G left its C stack for g0.  After the first three the stack is free
 * again; after the others the G still stands on it (or has thrown it away). */
enum gout { GOUT_PARK = 1, GOUT_GOSCHED, GOUT_EXIT, GOUT_PARKSTK, GOUT_GOSCHEDSTK, GOUT_EXITSTK, GOUT_PREEMPTSTK, GOUT_SYSCALL };

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
	union {
		int64_t waitsince; /* ns, the P's last look at the clock when it parked */
		struct bubbled *inbubble; /* GF_BUBBLE: what its bubble knows of it (bubble.h) */
	};
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
	atomic_ptr(G) next; /* readied by the G that runs now: goes first, inherits the time slice */
	atomic_u32 head, tail; /* these and nover atomic for sysmon, which looks whether there is anybody */
	uint32_t over, overtail;
	atomic_u32 nover;
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
	int32_t bubble;	    /* the id of the running G's bubble; 0: it is in none */
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
	bool open;	   /* has state, poller and timers */
	bool sysstopped;   /* the world stopped while its M was in a system call.  Under sched.lock */
	M *heir;	   /* the M that its own shall hand it to, */
	G *first;	   /* and the G, locked to that, which it is to run first */
	struct bubble *bubbles;	 /* bubble.c */
	struct timers *timers;	 /* park/timer.c */
	struct netpoll *netpoll; /* park/netpoll.c */
	struct lstate *lua;	 /* lua/host.c */
	P *link;		 /* idle list.  Under sched.lock */

	/* What others read or write, on cache lines of their own. */
	_Alignas(64) atomic_u32 inbox; /* started Gs of this P that others bring, last first; slot */
	atomic_ptr(struct mail) post;
	atomic_u32 gback; /* slots of its range whose Gs died on other Ps */
	atomic_u8 status;    /* enum pstatus; written under sched.lock */
	atomic_flg handspin; /* woken as a spinning M.  Under sched.lock */
	atomic_ptr(M) insyscall; /* its M, which is in a system call: who takes that away has the P */
	_Alignas(64) struct stealq stealq;
	_Alignas(64) atomic_u64 schedtick; /* the owner writes: counts Gs run, */
	atomic_i64 looked;		   /* ns at the last look at the clock: the running G began soon after */
	atomic_i64 nexttimer;		   /* ns when its next timer is due (or was), INT64_MAX: never */
	atomic_i32 pollfd;		   /* readable when its poller has something; -1: it has none */
	atomic_flg pollstale;		   /* what the poller shall watch has changed, and the kernel was not told */
	atomic_flg preempt;		   /* the running G shall go behind the others */
	atomic_i64 nlive;		   /* Gs born minus Gs that died here, */
	atomic_u32 npacked;		   /* Gs packed here when it was interrupted, */
	atomic_u32 syscalltick;		   /* and system calls */
};

struct M {
	struct gobuf g0; /* the scheduler's context while a G runs */
	G *curg;
	P *p;
	struct fpenv fpenv; /* as the thread computes, and every G that changes nothing */
	pthread_t thread;
	P *oldp;	    /* whose G is in a system call on it */
	G *lockedg;	    /* the G that alone may run on it, and nowhere else; */
	uint32_t nlocked;   /* how often that has asked for it */
	bool exits;	    /* its thread shall end.  Under sched.lock */
	bool waits;	    /* m0: has no P, and is in no system call.  Under sched.lock */
	bool goes;	    /* its locked G has ended, and takes the thread with it */
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
	/* gp stops waiting before its timer fired. */
	void (*stoptimer)(G *gp);
	/* gp's wait ends, since its time has come: false if somebody has decided it already.
	 * NULL: nobody ever has. */
	bool (*decide)(const G *gp);
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
	/* Whoever runs Lua on pp shall soon ask schedinterrupted.  In a signal handler,
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
	bool preempt;	    /* LUAPARK_PREEMPT */
	int64_t slice;	    /* ns that a G may run while others wait */
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
	uint32_t nsyscall;	/* Ms in system calls whose P was taken away */
	atomic_flg m0wants;	/* m0, which waits, shall have p0 back */
	uint32_t nm, nmidle;	/* threads beside m0, and how many of them wait for a P */
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

#endif
