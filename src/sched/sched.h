/* SPDX-License-Identifier: MIT */
/* sched.h - what the files of the scheduler, and the floors above, call.  The data is in
 * gmp.h. */
#ifndef LUAPARK_SCHED_SCHED_H
#define LUAPARK_SCHED_SCHED_H

#include "base/throw.h"
#include "sched/gmp.h"

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

/* gp, started, whose wait somebody on another P has decided, or which comes from a system
 * call without its P, is given to its home.  Any M. */
void inboxput(G *gp);
/* Readies all of pp's inbox, first come first, and does what the post wants.  Whether
 * there was any.  On g0; owner P only. */
bool inboxrun(P *pp);
/* Any M. */
void postmail(P *pp, struct mail *m);
/* gp, packed, is to run on pp and nowhere else.  Any M. */
void postg(P *pp, G *gp);

static inline bool hasincoming(P *pp)
{
	return load_relaxed(&pp->inbox) != 0 || load_relaxed(&pp->post) != NULL;
}

/* p.c: Ps, idle ones, and how many ---------------------------------------------- */

void procinit(void);
/* CPUs that this process may use: affinity and the cgroup's quota respected. */
uint32_t numcpu(void);
/* What gomaxprocs is at the start: those, or what LUAPARK_MAXPROCS says. */
uint32_t procdefault(void);
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
/* Runs pp, which has no M or shall have another: an idle M, or a new thread.  False if there
 * can be none.  Holding sched.lock. */
bool startm(P *pp);
/* Whether startm will find an M for pp when its own is locked from now on.  Holding
 * sched.lock. */
bool sparem(const P *pp);
/* Waits until mp, which has none, is given a P: that, or NULL: its thread shall end. */
P *takep(M *mp);
/* mp hands pp to its heir, or to m0, which wants it back or ends the run; false if neither
 * is so.  Holding sched.lock. */
bool handover(M *mp, P *pp);
/* m0 shall have p0 back from mp. */
static inline bool m0wants(const M *mp, const P *pp)
{
	return lp_unlikely(load_relaxed(&sched.m0wants)) && pp == &p0 && mp != &m0;
}
/* Interrupts whoever runs pp (see ops.interrupt).  Holding sched.lock. */
void interrupt(P *pp);
/* Ends all Ms but m0, and their Ps' states, and the monitor: nothing of ours runs
 * afterwards.  False when some M did not come to a halt in time.  In the host. */
bool stopms(void);

/* syscall.c: Gs that block their thread ----------------------------------------------- */

/* The running G is going to block its thread, or computes for long without Lua: its P
 * may be given to another M meanwhile.  It must not touch the P nor Lua until
 * exitsyscall, which returns when it has its P again, maybe on another thread.  On a
 * G's stack, which it keeps; ask cstack_spare first. */
void entersyscall(G *gp);
void exitsyscall(G *gp);
/* The slow half of exitsyscall: mp has lost its P to others.  gp if it has it again after
 * all.  On g0. */
G *exitsyscall0(M *mp, G *gp);
/* Takes pp from the M that is in a system call with it, and gives it to another; false
 * if that is over, or there can be no M.  Holding sched.lock. */
bool retake(P *pp);
/* Another M goes on with pp, for that of a locked G when this has parked, or ended.  False if
 * there can be none, which never is for that of a locked G.  On g0. */
bool giveaway(M *mp, P *pp);

/* From here on the running G runs on this thread only, and nothing else does; as often as
 * it was locked it must be unlocked.  False if there can be no thread for the others. */
bool lockosthread(G *gp);
/* False: it was not locked. */
bool unlockosthread(G *gp);
/* gp is dead, or killed: its M ends, too, unless that is m0. */
void unlockg(G *gp);
/* The M that gp is locked to.  Holding sched.lock. */
M *lockedm(const G *gp);

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
/* The same, for who took the last thing away without having a P to go idle with: m0
 * learns of it. */
void checkdead0(void);

/* Makes mstart return `why` as soon as the scheduler is reached.  Any M. */
void schedstop(const char *why);

/* The program must end: the scheduler returns to its caller soon, with sched.signal
 * telling why.  In a signal handler. */
void schedsignal(int sig);

/* What ops.interrupt has asked for: true if the running G must leave for g0, by
 * gopreempt_stk.  On a G's stack. */
bool schedinterrupted(P *pp);
/* Whether that could be so, for a caller to whom it is not all the same where it stops. */
static inline bool preempting(P *pp)
{
	return load_relaxed(&pp->preempt) || load_relaxed(&sched.stopping) != 0;
}

/* proc.c -------------------------------------------------------------------- */

void schedinit(const struct schedops *ops);

/* Whether the comma-separated list in LUAPARK_DEBUG has this word. */
bool scheddebug(const char *word);

/* find.c -------------------------------------------------------------------------- */

/* Looks at the clock: fires timers that are due, and polls the network if that
 * was not done for a while.  Returns when the next timer is due, 0 for never.  On g0. */
int64_t checkclock(P *pp);

/* The next G to run; blocks while there is none.  NULL when the run is over, the M must
 * end, pp is drained, or m0 shall have it.  On g0. */
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
/* The same for one that `home` shall run, which cannot end meanwhile.  Owner of pp only. */
void newprocat(P *pp, G *gp, uint32_t site, P *home);

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

/* The same for one that was asked to: what is due goes before it. */
void gopreempt_stk(G *gp);

/* exitsyscall's: has exitsyscall0 called. */
void gosyscall_stk(G *gp);

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

/* Marks or unmarks gp as a daemon; who has failed is none any more.  Its home P's owner only. */
void gsetdaemon(G *gp, bool daemon);

/* Kills every goroutine: for a host that goes on after an error.  The world is
 * stopped. */
void gkillall(void);

#endif
