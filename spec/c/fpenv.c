/* SPDX-License-Identifier: MIT */
#include "asm/fpenv.h"

#include <fenv.h>
#include <float.h>

#include "sim.h"
#include "test.h"

static bool same(struct fpenv a, struct fpenv b)
{
	return a.sse == b.sse && a.x87 == b.x87;
}

TEST(fpenv_keeps_rounding)
{
	static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
	struct fpenv env[4];
	for (int i = 0; i < 4; i++) {
		fesetround(modes[i]);
		env[i] = fpenv_get();
	}
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++) {
			fpenv_set(env[i]);
			CHECK_EQ(fegetround(), modes[i]);
			CHECK(same(env[i], fpenv_get()));
			fpenv_set(env[j]);
			CHECK_EQ(fegetround(), modes[j]);
		}
}

/* SSE and x87 have a mode each. */
TEST(fpenv_keeps_x87)
{
#if defined(__x86_64__)
	uint16_t cw, got;
	struct fpenv before = fpenv_get();
	__asm__ volatile("fnstcw %0" : "=m"(cw));
	uint16_t down = (uint16_t)((cw & ~0x0c00) | 0x0400);
	__asm__ volatile("fldcw %0" : : "m"(down));
	struct fpenv changed = fpenv_get();
	CHECK_EQ(changed.sse, before.sse);
	CHECK_EQ(changed.x87, down);
	fpenv_set(before);
	__asm__ volatile("fnstcw %0" : "=m"(got));
	CHECK_EQ(got, cw);
	fpenv_set(changed);
	__asm__ volatile("fnstcw %0" : "=m"(got));
	CHECK_EQ(got, down);
#endif
}

/* Whether numbers too small to be normal are flushed to zero is no business of fenv.h's. */
TEST(fpenv_keeps_flush_to_zero)
{
#if defined(__x86_64__) || defined(__aarch64__)
	volatile double least = DBL_MIN;
	struct fpenv before = fpenv_get(), changed = before;
#if defined(__x86_64__)
	changed.sse ^= 1u << 15;
#else
	changed.sse ^= 1u << 24;
#endif
	CHECK(least / 2 > 0);
	fpenv_set(changed);
	CHECK(same(fpenv_get(), changed));
	CHECK(least / 2 == 0);
	fpenv_set(before);
	CHECK(same(fpenv_get(), before));
	CHECK(least / 2 > 0);
#endif
}

/* Flags of what has happened are no mode: they neither differ nor get lost. */
TEST(fpenv_ignores_sticky_flags)
{
	feclearexcept(FE_ALL_EXCEPT);
	struct fpenv clean = fpenv_get();
	feraiseexcept(FE_INEXACT | FE_DIVBYZERO | FE_OVERFLOW);
	int raised = fetestexcept(FE_ALL_EXCEPT);
	struct fpenv flagged = fpenv_get();
	CHECK(same(clean, flagged));
	fpenv_set(clean);
	CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), raised);
}

/* A G that stands in a C call finds its modes again, and nobody else has them. */
static enum gout up(G *gp, void *ud)
{
	(void)ud;
	fesetround(FE_UPWARD);
	for (int i = 0; i < 3; i++) {
		sim_gosched(gp);
		CHECK_EQ(fegetround(), FE_UPWARD);
		sim_park(gp, WR_USER, 0);
		CHECK_EQ(fegetround(), FE_UPWARD);
	}
	fesetround(FE_TONEAREST);
	return GOUT_EXIT;
}

static enum gout nearest(G *gp, void *ud)
{
	G *other = ud;
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(fegetround(), FE_TONEAREST);
		if (readgstatus(other) == Gwaiting)
			goready(other, 0);
		sim_gosched(gp);
	}
	CHECK_EQ(readgstatus(other), Gdead);
	return GOUT_EXIT;
}

TEST(fpenv_is_per_kept_stack)
{
	sim_init((struct schedops){0});
	G *gp = sim_go(up, NULL);
	CHECK(sim_run(nearest, gp) == NULL);
	CHECK_EQ(fegetround(), FE_TONEAREST);
	CHECK_EQ(gcount(), 0);
	sim_term();
}
