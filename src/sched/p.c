/* SPDX-License-Identifier: MIT */
/* p.c - Ps: which are idle, who wakes them, and how many there may be.
 *
 * An idle P keeps its M, which blocks in the P's own poller: the state, the loop and
 * the Gs of a P belong together, so others wake an idle P and never take it.  A P is
 * made, with thread and state, when wakep first finds no idle one that exists.
 *
 * Waking, and why no wake-up is lost.  Who brings work and who goes idle both
 * write first and then look, with a full fence in between, so that one of them
 * sees the other:
 *
 *   bringing:  put the work (inbox, stealq)     going idle:  status = Pidle; npidle++
 *              fence                                         nmspinning-- if spinning
 *              look at status / npidle, nmspinning           fence
 *              wake                                          look at all work once more
 *
 * Who goes idle looks at everybody's stealable work, whether it was spinning or not, and
 * also where its own inbox is full: a wakep may have trusted its spinning, or found
 * nobody idle a moment before.  spec/model/ has all of this checked, and what happens
 * where a step is left out. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/os.h"
#include "sched/sched.h"

enum { GS_MAX = 1 << 30, GS_MIN = 1 << 20, PROCS_MAX = 64 };

/* The cgroup's quota in CPUs, rounded up; 0 where there is none. */
static uint32_t cgroupcpus(void)
{
	char line[128] = "";
	double quota = 0, period = 0;
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
	if (f) { /* version 2 */
		if (!fgets(line, sizeof line, f) || sscanf(line, "%lf %lf", &quota, &period) != 2)
			quota = 0;
		fclose(f);
	} else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re")) != NULL) {
		bool ok = fscanf(f, "%lf", &quota) == 1;
		fclose(f);
		f = ok ? fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re") : NULL;
		if (!f || fscanf(f, "%lf", &period) != 1)
			quota = 0;
		if (f)
			fclose(f);
	}
	if (quota <= 0 || period <= 0)
		return 0;
	uint32_t n = (uint32_t)(quota / period);
	return n < quota / period ? n + 1 : n;
}

uint32_t numcpu(void)
{
	cpu_set_t set;
	uint32_t n = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set)
								 : (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? n : 1;
}

uint32_t procdefault(void)
{
	uint32_t n = numcpu(), quota = cgroupcpus();
	const char *env = getenv("LUAPARK_MAXPROCS");
	if (env && *env) {
		char *end;
		long v = strtol(env, &end, 10);
		if (*end == '\0' && v > 0)
			return v < (long)sched.maxprocs ? (uint32_t)v : sched.maxprocs;
	}
	if (quota > 0 && quota < n) /* Go 1.25 lets a quota below two still be two */
		n = quota < 2 ? (n < 2 ? n : 2) : quota;
	return n < sched.maxprocs ? n : sched.maxprocs;
}

static void initp(P *pp, uint32_t id)
{
	pp->id = id;
	pp->gbase = id * sched.gsperp;
	pp->gend = pp->gbase + sched.gsperp;
	pp->gtop = pp->gbase + (id == 0); /* slot 0 means none */
	pp->rand = 0x9e3779b9u * (id + 1);
	pp->runq.seen = -1u; /* nobody has waited at a look */
	pp->now = nanotime();
	store_relaxed(&pp->looked, pp->now);
	store_relaxed(&pp->nexttimer, INT64_MAX);
	store_relaxed(&pp->pollfd, -1);
	cstackpool_init(&pp->stacks, gmain);
	store_release(&sched.allp[id], pp); /* pairs with whoever walks allp without the lock */
}

void procinit(void)
{
	uint32_t n = PROCS_MAX;
	sched.ncpu = numcpu();
	while (n < sched.ncpu)
		n *= 2;
	sched.maxprocs = n;
	sched.allp = xcalloc(n, sizeof *sched.allp);
	size_t gs = GS_MAX;
	while (!(sched.gs = os_reserverw(gs * sizeof(G)))) {
		if (gs <= GS_MIN)
			throw("no address space for the table of goroutines");
		gs /= 2;
	}
	sched.gsperp = (uint32_t)(gs / n);
	initp(&p0, 0);
	p0.open = true;
	store_relaxed(&p0.status, Phost);
	store_relaxed(&sched.gomaxprocs, sched.ops.openp ? procdefault() : 1);
	store_relaxed(&sched.npidle, load_relaxed(&sched.gomaxprocs) - 1);
}

/* The P of this id, made if it must be.  Holding sched.lock. */
static P *pof(uint32_t id)
{
	P *pp = load_relaxed(&sched.allp[id]);
	if (!pp) {
		pp = aligned_alloc(_Alignof(P), sizeof *pp);
		if (!pp)
			throw("out of memory");
		*pp = (P){.view = {0}};
		initp(pp, id);
	}
	return pp;
}

static bool counts(const P *pp)
{
	return !pp->draining;
}

void pidleput(P *pp)
{
	lp_assert(lock_isheld(&sched.lock));
	store_relaxed(&pp->status, Pidle);
	sched.nrunning--;
	pp->link = sched.pidle;
	sched.pidle = pp;
	if (counts(pp))
		store_relaxed(&sched.npidle, load_relaxed(&sched.npidle) + 1);
}

void pidletake(P *pp)
{
	P **at = &sched.pidle;
	lp_assert(lock_isheld(&sched.lock) && load_relaxed(&pp->status) == Pidle);
	while (*at != pp)
		at = &(*at)->link;
	*at = pp->link;
	store_relaxed(&pp->status, Prunning);
	sched.nrunning++;
	if (counts(pp))
		store_relaxed(&sched.npidle, load_relaxed(&sched.npidle) - 1);
	sysmonwake();
}

P *pidleget(bool *made)
{
	*made = false;
	for (P *pp = sched.pidle; pp; pp = pp->link)
		if (counts(pp)) {
			pidletake(pp);
			return pp;
		}
	if (load_relaxed(&sched.npidle) == 0)
		return NULL;
	for (uint32_t i = 1; i < load_relaxed(&sched.gomaxprocs); i++) {
		P *pp = pof(i);
		if (load_relaxed(&pp->status) != Pdead)
			continue;
		store_relaxed(&pp->status, Prunning);
		sched.nrunning++;
		store_relaxed(&sched.npidle, load_relaxed(&sched.npidle) - 1);
		*made = true;
		if (startm(pp))
			return pp;
		store_relaxed(&pp->status, Pdead);
		sched.nrunning--;
		store_relaxed(&sched.gomaxprocs, i); /* there can be no more of them */
		procrecount();
		return NULL;
	}
	return NULL;
}

void procrecount(void)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < load_relaxed(&sched.gomaxprocs); i++) {
		const P *pp = load_relaxed(&sched.allp[i]);
		enum pstatus st = pp ? load_relaxed(&pp->status) : Pdead;
		n += st == Pidle || st == Pdead;
	}
	store_relaxed(&sched.npidle, n);
}

void wakeidle(P *pp)
{
	fence_seqcst(); /* between the work and this look; pairs with goidle's */
	if (load_relaxed(&pp->status) != Pidle)
		return;
	lock(&sched.lock);
	bool was = load_relaxed(&pp->status) == Pidle && load_relaxed(&sched.stopping) == 0;
	if (was) {
		pidletake(pp);
		sched.ops.wakenetpoll(pp); /* before unlock: a draining P may end as soon as it runs */
	}
	unlock(&sched.lock);
}

void wakep(void)
{
	uint32_t none = 0;
	fence_seqcst(); /* likewise */
	if (load_relaxed(&sched.npidle) == 0 || load_relaxed(&sched.nmspinning) != 0 ||
	    !cas_seqcst(&sched.nmspinning, &none, 1))
		return;
	bool made = false;
	lock(&sched.lock);
	P *pp = load_relaxed(&sched.stopping) == 0 ? pidleget(&made) : NULL;
	if (pp)
		store_relaxed(&pp->handspin, true);
	else /* before unlock: who goes idle next must not find it still counted */
		fetch_sub_seqcst(&sched.nmspinning, 1);
	unlock(&sched.lock);
	if (pp && !made)
		sched.ops.wakenetpoll(pp);
}

void procresize(uint32_t n)
{
	stoptheworld();
	lock(&sched.lock);
	store_relaxed(&sched.gomaxprocs, n);
	for (uint32_t i = 0; i < sched.maxprocs; i++) {
		P *pp = load_relaxed(&sched.allp[i]);
		if (!pp)
			break;
		pp->draining = i >= n;
		if (pp->draining)
			for (G *gp; (gp = stealqget(pp)) != NULL;)
				globrunqput(gp);
	}
	procrecount();
	unlock(&sched.lock);
	starttheworld();
}
