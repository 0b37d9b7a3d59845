/* SPDX-License-Identifier: MIT */
/* gclaim: of all who want to ready a G from its gopark one does, and a number once given names
 * one G for ever. */
#include <sched.h>

#include "sim.h"
#include "test.h"

static bool refuse; /* what unlockf says */
static bool claimed; /* what a claim in unlockf said */
static bool claims;

static bool unlockf(G *gp)
{
	CHECK_EQ(readgstatus(gp), Gwaiting);
	if (claims)
		claimed = gclaim(gp, gp->id);
	if (claimed && claims)
		goready(gp, 3);
	return !refuse;
}

static const struct schedops ops = {.unlockf = unlockf};

/* Each of ud waits in gopark, and ends. */
static enum gout parkonce(G *gp, void *ud)
{
	int32_t *got = ud;
	gp->flags |= GF_GOPARK;
	*got = sim_park(gp, WR_USER, 0);
	gp->flags &= (uint16_t)~GF_GOPARK;
	return GOUT_EXIT;
}

static enum gout parkother(G *gp, void *ud)
{
	*(int32_t *)ud = sim_park(gp, WR_CHANRECV, 0);
	return GOUT_EXIT;
}

TEST(claim_once)
{
	int32_t got = 0;
	sim_init(ops);
	G *gp = sim_go(parkonce, &got);
	uint64_t id = gp->id;
	CHECK(!gclaim(gp, id)); /* it does not wait yet */
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gp->parkseq % 2, 1);
	CHECK(!gclaim(gp, id + 1));
	CHECK(!gclaim(gp, id - 1));
	CHECK(gclaim(gp, id));
	CHECK(!gclaim(gp, id));
	CHECK_EQ(readgstatus(gp), Gwaiting); /* until the claimer has readied it */
	CHECK_EQ(gp->parkseq % 2, 0);
	uint32_t seq = gp->parkseq;
	goready(gp, 8);
	CHECK(!gclaim(gp, id)); /* nor while it is runnable */
	CHECK_EQ(gp->parkseq, seq + 2);
	CHECK_EQ(gp->parkseq % 2, 0);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, 8);
	CHECK(!gclaim(gp, id) && !gclaim(gp, 0));
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* Only gopark's waits can be claimed: of others somebody else knows. */
TEST(claim_only_gopark)
{
	int32_t got = 0;
	sim_init(ops);
	G *gp = sim_go(parkother, &got);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(readgstatus(gp), Gwaiting);
	CHECK(!gclaim(gp, gp->id));
	goready(gp, 4);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, 4);
	sim_term();
}

/* Another G in the slot of one that has died is not taken for it, whatever it waits for. */
TEST(claim_of_the_dead)
{
	int32_t got = 0;
	sim_init(ops);
	G *gp = sim_go(parkonce, &got);
	uint64_t old = gp->id;
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK(gclaim(gp, old));
	goready(gp, 1);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(readgstatus(gp), Gdead);
	CHECK(!gclaim(gp, old));
	CHECK(sim_go(parkonce, &got) == gp);
	CHECK(gp->id != old);
	CHECK(!gclaim(gp, old));
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK(!gclaim(gp, old));
	CHECK(gclaim(gp, gp->id));
	goready(gp, 2);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, 2);
	sim_term();
}

/* An unlockf that says no has the wait undone: nobody can claim it afterwards. */
static enum gout parkclaimed(G *gp, void *ud)
{
	uint32_t seq = gp->parkseq;
	parkonce(gp, ud);
	CHECK(gp->parkseq > seq && gp->parkseq % 2 == 0);
	CHECK(!gclaim(gp, gp->id));
	return GOUT_EXIT;
}

static void unlocking(bool no, bool claim, int32_t want, uint32_t alive)
{
	int32_t got = 0;
	sim_init(ops);
	refuse = no;
	claims = claim;
	CHECK(sim_run(parkclaimed, &got) == NULL);
	CHECK_EQ(claimed, claim);
	CHECK_EQ(got, want);
	CHECK_EQ(gcount(), alive);
	sim_term();
}

TEST(claim_of_refused_park)
{
	unlocking(true, false, 0, 0);
}

TEST(claim_in_unlockf)
{
	unlocking(false, true, 3, 0);
}

/* It runs once, not twice. */
TEST(claim_in_unlockf_that_refuses)
{
	unlocking(true, true, 3, 0);
}

/* All at once -------------------------------------------------------------------- */

/* One G parks again and again, and dies and is born again in its slot; three threads claim it
 * under what number they last saw.  Each wait is ended by one of them. */
enum { CLAIMERS = 3, PARKS = 3000, PARKS_A_LIFE = 5 };

static G *target;
static atomic_u32 wins, parks;

static enum gout parker(G *gp, void *ud)
{
	(void)ud;
	CHECK(gp == target);
	for (int i = 0; i < PARKS_A_LIFE; i++) {
		gp->flags |= GF_GOPARK;
		CHECK_EQ(sim_park(gp, WR_IO, 0), 9); /* WR_IO: alive */
		gp->flags &= (uint16_t)~GF_GOPARK;
		fetch_add_relaxed(&parks, 1);
		CHECK(load_relaxed(&parks) <= load_relaxed(&wins)); /* not woken more often than claimed */
	}
	return GOUT_EXIT;
}

static void runparker(void)
{
	for (int i = 0; i < PARKS / PARKS_A_LIFE; i++) {
		CHECK(sim_go(parker, NULL) == target);
		CHECK(mstart(&m0, &p0) == NULL);
	}
}

static void claimer(void)
{
	M m = {0};
	setm(&m);
	uint64_t id = 0;
	for (uint32_t i = 0; load_relaxed(&parks) < PARKS; i++) {
		uint64_t last = id;
		id = load_relaxed(&target->id);
		/* A stale number now and then. */
		if (gclaim(target, i % 4 == 0 ? last : id)) {
			fetch_add_relaxed(&wins, 1);
			goready(target, 9);
		} else {
			sched_yield();
		}
	}
	setm(NULL);
}

static void parkorclaim(int i)
{
	if (i == CLAIMERS)
		runparker();
	else
		claimer();
}

TEST(claim_hammered)
{
	sim_init(ops);
	target = gfget(&p0);
	gfput(&p0, target);
	test_threads(CLAIMERS + 1, parkorclaim);
	CHECK_EQ(parks, PARKS);
	CHECK_EQ(wins, PARKS);
	sim_term();
}
