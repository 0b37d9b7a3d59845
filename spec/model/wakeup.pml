/* SPDX-License-Identifier: MIT */
/* wakeup.pml - how Ps fall asleep and wake each other, for Spin; model.sh runs it.
 *
 * What is modelled, by its name in src/sched:
 *
 *   M          the loop of a P's thread, findrunnable and execute.  Its labels are
 *              the parts: top (the P's own sources and the global queue), steal,
 *              giveup (publish idle, checkdead, stop spinning, look once more),
 *              end_block (the poller), found, execute
 *   wakep      work for anybody has appeared: a P shall look for it, unless one does
 *   wakeidle   a P's own work has appeared: wake that P
 *   ready      a G at home on another P may go on: into the inbox, then wakeidle
 *   leaveidle  how a P stops being idle, whatever the reason
 *   poke       the poller's eventfd, which stays set until the poller is entered
 *   env        the world, which makes descriptors ready; and the judge, when nobody
 *              can take a step any more
 *
 * What goroutines do is left open.  Each may start others (into its P's stealq; or,
 * as if that were full, into the global queue), ready any that waits, wait for that,
 * wait for an event of its P's poller, end, or compute for ever.  All programs with
 * no more starts and waits than the limits below are in the search.
 *
 * Gs that compute for ever make the check strict.  Their P never looks at its queues
 * again, so what an idle P was not woken for stays there, and the judge sees it.
 * Without them the owner would come by and run it, late, and nothing would show.
 *
 * What must hold (the assertions):
 *   - No wake-up is lost.  When nobody can take a step, who sleeps has an empty inbox;
 *     and if one sleeps, no stealq and not the global queue holds a G.
 *   - No G is lost: all that can run are in a queue then.  None runs twice: who is
 *     taken from a queue was not running.
 *   - nmspinning is 0 then; else wakep would do nothing for the rest of the program.
 *   - checkdead does not end the program while a G can run or waits for an event; and
 *     does when there is none, unless one computes for ever.
 * That Ps do not keep each other awake for ever is a check of its own: the graph of
 * states has no cycle (pan -l, with no state called progress), so every run ends.
 *
 * A step is one access to shared memory, with exceptions that hide nothing: what only
 * the lock's holder touches needs no step; taking the lock is one with the access
 * after it, and giving it back with the access before it (Lipton's movers); a poll is
 * one system call.
 *
 * What is left out, and why that is sound:
 *   - Weak memory.  Steps here are sequentially consistent.  In C a full fence stands
 *     where a store must be seen before a load is made: at the three places that say
 *     "fence".  A missing one acts like the mutants that look first.
 *   - The limit on spinning Ms.  Here a P spins or not, as it likes: what is proved
 *     holds for any limit.  So with the order of the idle list: any P may be taken.
 *   - runnext, time slices, the turns of the common queues, four rounds of stealing.  They look at a
 *     source earlier or more often; nothing rests on an early look.
 *   - The inside of the queues.  A put, a take and a theft are one step each, as a
 *     compare-and-swap makes them; a theft takes all, where the real one takes half.
 *   - Timers, which are events of the P's poller here; and threads that have not been
 *     started, which are Ps that sleep and can be poked.
 *   - Stop-the-world, and other ends than checkdead's: they poke, and no more.
 *
 * Each MUTANT_ is a mistake, some of them made in drafts.  model.sh sees to it that the
 * checks catch them all; so the checks look, and each line they remove is needed. */

#ifndef PS
#define PS 2		/* Ps, 2 or 3 */
#endif
#ifndef GS
#define GS 4		/* Gs, the main G included */
#endif
#ifndef WAITS
#define WAITS 1		/* times that some G waits for another */
#endif
#ifndef EVENTS
#define EVENTS 1	/* times that some G waits for an event */
#endif
#ifndef GLOBALS
#define GLOBALS 1	/* Gs that are started into the global queue */
#endif

#define BIT(n) (1 << (n))
#define ALL (BIT(PS) - 1)
#define p _pid			/* Ms are the first processes */
#define LEFT ((p + 1) % PS)
#define RIGHT ((p + 2) % PS)	/* with 3 Ps */
#if PS > 2
#define UNION(of) (of[0] | of[1] | of[2])
#else
#define UNION(of) (of[0] | of[1])
#endif

/* Sets of Gs, and of Ps, are bits. */
bit lock;			/* sched.lock */
byte idle = ALL & ~BIT(0);	/* P.idle of all; written with the lock held, read without */
byte npidle = PS - 1;		/* the same */
byte handspin;			/* P.handspin of all; only with the lock held */
byte globq;			/* written with the lock held; its length is read without */
byte nmspinning;
bool poke[PS];			/* the poller returns, now or when it is next entered */
byte inbox[PS];			/* Gs at home here, readied elsewhere */
byte stealq[PS];		/* Gs that have not started, for anybody */
byte runq[PS];			/* the owner's alone */
byte parked[PS];		/* Gs at home here that wait for another G */
byte polled[PS];		/* Gs at home here that wait for an event: P.nevent */
bool event[PS];			/* which has come */
bool over;			/* checkdead has ended the program */

/* What only the judge and the limits know. */
byte alive = BIT(0);		/* Gs that can run, or run */
byte running = BIT(0);
byte computing;			/* Ps whose G computes for ever */
byte started = 1, waits, events, globals;

/* The helpers below that are not steps of their own stand in atomic ones. */

/* x is the first of a set. */
inline first(set, x) {
	x = 0;
	do
	:: set & BIT(x) -> break
	:: else -> x++
	od
}

/* Takes a G out of a queue in order to run it. */
inline take(queue) {
	first(queue, g);
	queue = queue & ~BIT(g);
	assert((alive & BIT(g)) && !(running & BIT(g)));
	running = running | BIT(g)
}

inline start(queue) {
	alive = alive | BIT(started);
	queue = queue | BIT(started);
	started++
}

/* What waited is in a queue now. */
inline requeue(waiting, queue) {
	first(waiting, q);
	waiting = waiting & ~BIT(q);
	assert(!(alive & BIT(q)));
	alive = alive | BIT(q);
	queue = queue | BIT(q);
	q = 0
}

/* The running G goes. */
inline leave() {
	alive = alive & ~BIT(g);
	running = running & ~BIT(g);
	g = 0
}

/* Work for anybody is in a queue.  Any M, even an idle P's. */
inline wakep() {
	/* fence: the work, then npidle and nmspinning */
	if
	:: npidle == 0
	:: npidle != 0 ->
		if
		:: nmspinning != 0
		:: atomic { nmspinning == 0 -> nmspinning = 1 };
			if
			:: atomic { !lock && idle ->
					lock = 1;
					if
					:: idle & BIT(0) -> q = 0
					:: idle & BIT(1) -> q = 1
					:: idle & BIT(2) -> q = 2
					fi;
					idle = idle & ~BIT(q) };
				atomic { npidle--; handspin = handspin | BIT(q); lock = 0 };
				atomic { poke[q] = true; q = 0 }
#ifdef MUTANT_UNCOUNT_UNLOCKED
			:: !lock && !idle;
				nmspinning--
#else
			:: atomic { !lock && !idle -> nmspinning-- }
#endif
			fi
		fi
	fi
}

/* P h has work of its own. */
inline wakeidle(h) {
	if
	:: atomic { !lock && (idle & BIT(h)) -> lock = 1; idle = idle & ~BIT(h) };
		atomic { npidle--; lock = 0 };
		poke[h] = true
	:: !lock && !(idle & BIT(h))
	fi
}

/* A waiting G at home on another P, h, may go on. */
inline ready(h) {
#if defined(MUTANT_READY_BLIND)
	atomic { parked[h] -> requeue(parked[h], inbox[h]) }
#elif defined(MUTANT_READY_LOOKS_FIRST)
	if
	:: parked[h] && (idle & BIT(h)) ->
		if
		:: atomic { parked[h] -> requeue(parked[h], inbox[h]) };
			wakeidle(h)
		:: !parked[h]
		fi
	:: parked[h] && !(idle & BIT(h)) ->
		if
		:: atomic { parked[h] -> requeue(parked[h], inbox[h]) }
		:: !parked[h]
		fi
	fi
#else
	atomic { parked[h] -> requeue(parked[h], inbox[h]) };
	/* fence: the inbox, then idle */
	if
	:: idle & BIT(h) -> wakeidle(h)
	:: !(idle & BIT(h))
	fi
#endif
}

/* The P is not idle any more: it leaves the list itself, or finds that it was taken
 * off.  If wakep did that, the P is spinning now, and counted already. */
inline leaveidle(handed) {
	if
	:: atomic { !lock && (idle & BIT(p)) -> lock = 1; idle = idle & ~BIT(p) };
		atomic { npidle--; lock = 0 }
	:: atomic { !lock && !(idle & BIT(p)) ->
			if
			:: handed & BIT(p) -> handspin = handspin & ~BIT(p); spinning = true
			:: else
			fi }
	fi
}

/* The event readies who waits for it.  In an atomic step: it is about the P's own. */
inline dispatch() {
	event[p] = false;
	requeue(polled[p], runq[p])
}

/* The first of what is stolen will run here. */
inline steal(victim) {
	if
	:: atomic { stealq[victim] -> take(stealq[victim]); loot = stealq[victim]; stealq[victim] = 0; goto stolen }
	:: !stealq[victim]
	fi
}

/* The P says that it is idle, after a last look at what the lock protects. */
inline publish() {
	if
	:: atomic { !lock && globq -> take(globq); goto found }
	:: atomic { !lock && !globq -> lock = 1; idle = idle | BIT(p) }
	fi;
	/* checkdead.  Nobody changes what it looks at: all Ps are idle, and none can leave. */
	atomic {
		npidle++;
		if
#ifdef MUTANT_DEAD_BY_COUNT
		:: npidle == PS && !UNION(polled) ->
#else
		:: npidle == PS && !globq && !UNION(inbox) && !UNION(stealq) && !UNION(polled) ->
#endif
			assert(!alive);
			over = true
		:: else
		fi;
		lock = 0 }
}

/* Whoever has work from now on must wake somebody. */
inline unspin() {
	if
	:: atomic { spinning -> spinning = false; nmspinning-- }
	:: !spinning
	fi
}

/* Is there work for anybody?  Then somebody must look for it: perhaps this very P. */
inline recheck() {
	/* fence: idle and nmspinning, then the queues */
	if
	:: stealq[LEFT] -> goto work
	:: !stealq[LEFT]
	fi;
#if PS > 2
	if
	:: stealq[RIGHT] -> goto work
	:: !stealq[RIGHT]
	fi;
#endif
	if
	:: globq -> goto work
	:: !globq
	fi;
	goto nowork;
work:
#ifdef MUTANT_START_OVER
	leaveidle(handspin);
	goto top;
#else
	wakep();
#endif
nowork:	skip
}

/* Is there work of its own?  For that it needs nobody. */
inline mine() {
	if
#ifdef MUTANT_HANDSPIN_LEFT
	:: inbox[p] -> leaveidle(0); goto top
#else
	:: inbox[p] -> leaveidle(handspin); goto top
#endif
	:: !inbox[p]
	fi
}

/* The rest of what was stolen can be stolen again. */
inline publishloot() {
	if
	:: atomic { loot -> stealq[p] = loot; loot = 0 }
	:: !loot
	fi
}

active [PS] proctype M() {
	bool spinning;
	byte g, q, loot;

	if
	:: p == 0 -> goto execute	/* the main G */
	:: else -> goto end_block
	fi;

top:	atomic {
		runq[p] = runq[p] | inbox[p];
		inbox[p] = 0;
		if
		:: runq[p] -> take(runq[p]); goto found
		:: else
		fi };
	atomic {
		if
		:: stealq[p] -> take(stealq[p]); goto found
		:: else
		fi };
	if
	:: atomic { !lock && globq -> take(globq); goto found }
	:: !globq
	fi;
	/* The poll that does not block. */
	atomic {
		poke[p] = false;
		if
		:: event[p] -> dispatch(); goto top
		:: else
		fi };

	if
	:: spinning
	:: atomic { !spinning -> spinning = true; nmspinning++ }
	:: !spinning -> goto giveup
	fi;
#if PS > 2
	if
	:: steal(LEFT); steal(RIGHT)
	:: steal(RIGHT); steal(LEFT)
	fi;
#else
	steal(LEFT);
#endif

giveup:
#if defined(MUTANT_NO_RECHECK)
	publish();
	unspin();
#elif defined(MUTANT_PUBLISH_LATE)
	recheck();
	mine();
	publish();
	unspin();
#elif defined(MUTANT_UNSPIN_LATE)
	publish();
	recheck();
	unspin();
	mine();
#elif defined(MUTANT_SPINNERS_RECHECK)
	publish();
	if
	:: spinning -> unspin(); recheck()
	:: !spinning
	fi;
	mine();
#elif defined(MUTANT_MINE_INSTEAD)
	publish();
	unspin();
	mine();
	recheck();
#else
	publish();
	unspin();
	recheck();
	mine();
#endif

#ifdef MUTANT_POKE_FORGOTTEN
	poke[p] = false;
#endif
end_block:			/* the poll that blocks; whoever is here when all ends is no fault */
	if
	:: over -> goto end
#ifdef MUTANT_DISPATCH_IDLE
	:: atomic { event[p] -> dispatch() }
	:: atomic { poke[p] -> poke[p] = false }
#else
	:: atomic { poke[p] || event[p] -> poke[p] = false }
#endif
	fi;
	leaveidle(handspin);	/* before any event is dispatched */
	goto top;

stolen:
#ifndef MUTANT_LOOT_LATE
	publishloot();
#endif
found:	if
	:: !spinning
	:: atomic { spinning && nmspinning > 1 -> spinning = false; nmspinning-- }
	:: atomic { spinning && nmspinning == 1 -> spinning = false; nmspinning-- };
#ifndef MUTANT_NO_SUCCESSOR
		wakep()
#endif
	fi;
#ifdef MUTANT_LOOT_LATE
	publishloot();
#endif

execute:
	do
#ifdef MUTANT_START_LOOKS_FIRST
	:: started < GS -> wakep(); start(stealq[p])
#else
	:: atomic { started < GS -> start(stealq[p]) };
		wakep()
#endif
	:: atomic { !lock && started < GS && globals < GLOBALS -> start(globq); globals++ };
		wakep()
	:: atomic { parked[p] -> requeue(parked[p], runq[p]) }
	:: ready(LEFT)
#if PS > 2
	:: ready(RIGHT)
#endif
	:: atomic { waits < WAITS -> waits++; parked[p] = parked[p] | BIT(g); leave(); goto top }
	:: atomic { events < EVENTS -> events++; polled[p] = polled[p] | BIT(g); leave(); goto top }
	:: atomic { (computing | BIT(p)) != ALL -> computing = computing | BIT(p); goto end_compute }
	:: atomic { leave(); goto top }
	od;

end_compute:
	false;
end:	skip
}

active proctype env() {
end:	do
	:: atomic { polled[0] && !event[0] -> event[0] = true }
	:: atomic { polled[1] && !event[1] -> event[1] = true }
#if PS > 2
	:: atomic { polled[2] && !event[2] -> event[2] = true }
#endif
	:: timeout -> break
	od;
	/* Somebody sleeps: the limits let not all Ps compute. */
	assert(over || computing);
	assert(over || !nmspinning);
	assert(!globq && !UNION(stealq));
	assert((computing & BIT(0)) || !(inbox[0] | runq[0]));
	assert((computing & BIT(1)) || !(inbox[1] | runq[1]));
#if PS > 2
	assert((computing & BIT(2)) || !(inbox[2] | runq[2]));
#endif
	assert((UNION(inbox) | UNION(runq)) == (alive & ~running))
}
