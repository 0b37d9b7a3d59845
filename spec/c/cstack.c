/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* mincore */
#include "asm/cstack.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "base/os.h"
#include "test.h"

static struct cstackpool pool;
static struct gobuf here;
static int started;

static void idle(void *arg)
{
	(void)arg;
	gobuf_arrived();
	started++;
	for (;;)
		gobuf_switch(&pool.free->buf, &here, NULL); /* tests run the stack that is first in the pool */
}

static struct cstack *get(void)
{
	struct cstack *s = cstackget(&pool);
	CHECK(s != NULL);
	return s;
}

static void run(struct cstack *s)
{
	cstackput(&pool, s);
#ifdef LUAPARK_TSAN
	here.fiber = __tsan_get_current_fiber();
#endif
#ifdef LUAPARK_ASAN
	os_stackbounds(&here.lo, &here.size);
#endif
	gobuf_switch(&here, &s->buf, NULL);
	CHECK(cstackget(&pool) == s);
}

TEST(cstack_layout)
{
	cstackpool_init(&pool, idle);
	struct cstack *s[8];
	for (int i = 0; i < 8; i++) {
		s[i] = get();
		CHECK_EQ((uintptr_t)s[i] % 64, 0);
		CHECK_EQ((uintptr_t)s[i]->lo % os_pagesize(), 0);
		CHECK(s[i]->buf.lo == s[i]->lo);
		CHECK_EQ(s[i]->buf.size, (char *)s[i] - s[i]->lo);
		CHECK(s[i]->buf.size > CSTACK_MINSIZE - CSTACK_GUARD - os_pagesize());
		CHECK((char *)s[i]->buf.sp > s[i]->lo && (char *)s[i]->buf.sp < (char *)s[i]);
		for (int j = 0; j < i; j++) /* a guard lies between any two */
			CHECK((char *)(s[j] + 1) + CSTACK_GUARD <= s[i]->lo ||
			      (char *)(s[i] + 1) + CSTACK_GUARD <= s[j]->lo);
	}
}

TEST(cstack_reuse_lifo)
{
	cstackpool_init(&pool, idle);
	struct cstack *a = get(), *b = get(), *c = get();
	cstackput(&pool, b);
	cstackput(&pool, a);
	CHECK(get() == a);
	cstackput(&pool, c);
	CHECK(get() == c);
	CHECK(get() == b);
	CHECK(pool.free == NULL);
}

TEST(cstack_runs_and_resets)
{
	cstackpool_init(&pool, idle);
	struct cstack *s = get();
	run(s);
	run(s);
	run(s);
	CHECK_EQ(started, 1); /* main goes on where it was */
	cstack_reset(&pool, s);
	run(s);
	CHECK_EQ(started, 2);
}

TEST(cstack_spare_makes_one)
{
	cstackpool_init(&pool, idle);
	CHECK(cstack_spare(&pool));
	struct cstack *s = pool.free;
	CHECK(s && !s->next);
	CHECK(cstack_spare(&pool));
	CHECK(pool.free == s && !s->next);
	CHECK(get() == s);
	CHECK(cstack_spare(&pool) && pool.free != s);
}

/* Guards ------------------------------------------------------------------- */

static void writebelow(void)
{
	struct cstack *s = get();
	s->lo[0] = 1;
	((volatile char *)s->lo)[-1] = 1;
}

static void writeabove(void)
{
	struct cstack *s = get();
	/* what follows the stack, past its header, is the next one's guard */
	uintptr_t end = ((uintptr_t)(s + 1) + os_pagesize() - 1) & ~(os_pagesize() - 1);
	((volatile char *)end)[-1] = 1;
	((volatile char *)end)[0] = 1;
}

TEST(cstack_guard_faults)
{
	cstackpool_init(&pool, idle);
	CHECK_DIES(writebelow, SIGSEGV);
	CHECK_DIES(writeabove, SIGSEGV);
}

/* The word is read again: the compiler may not make a loop of this. */
static volatile int forever = 1;

static __attribute__((noinline)) int overflow(int n)
{
	volatile char frame[256];
	frame[n % 256] = (char)n;
	return forever ? overflow(n + 1) + frame[n % 256] : 0;
}

/* Touches one page in ten, as a function with large buffers does. */
static __attribute__((noinline)) int leap(int n)
{
	volatile char frame[40 << 10];
	frame[0] = (char)n;
	return forever ? leap(n + 1) + frame[0] : 0;
}

static struct cstack *running;

static void onsegv(int sig, siginfo_t *info, void *ctx)
{
	(void)ctx;
	const char *at = info->si_addr;
	bool guard = cstack_isguard(at) && at < running->lo && at >= running->lo - CSTACK_GUARD; /* its own */
	signal(sig, SIG_DFL);
	raise(guard ? SIGUSR1 : sig);
}

static int (*overflowing)(int n);

static void overflowmain(void *arg)
{
	(void)arg;
	gobuf_arrived();
	overflowing(1);
}

static void overflowonstack(void)
{
	static char alt[64 << 10];
	sigaltstack(&(stack_t){.ss_sp = alt, .ss_size = sizeof alt}, NULL);
	struct sigaction sa = {.sa_sigaction = onsegv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigaction(SIGSEGV, &sa, NULL);
	test_narrow((size_t)512 << 20); /* small stacks, soon full */
	cstackpool_init(&pool, overflowmain);
	for (int i = 0; i < 3; i++) /* there are others below */
		running = get();
	run(running);
}

TEST_NARROW(cstack_guard_is_told_in_signal)
{
	overflowing = overflow;
	CHECK_DIES(overflowonstack, SIGUSR1);
}

TEST_NARROW(cstack_guard_is_wider_than_frames)
{
	overflowing = leap;
	CHECK_DIES(overflowonstack, SIGUSR1);
}

TEST(cstack_isguard)
{
	size_t page = os_pagesize();
	CHECK(!cstack_isguard(NULL)); /* before there is an arena */
	CHECK(!cstack_isguard(&page));
	cstackpool_init(&pool, idle);
	for (int i = 0; i < 3; i++) {
		struct cstack *s = get();
		CHECK(!cstack_isguard(s));
		CHECK(!cstack_isguard(s->lo));
		CHECK(cstack_isguard(s->lo - 1));
		CHECK(cstack_isguard(s->lo - CSTACK_GUARD));
		CHECK(!cstack_isguard(s->lo - CSTACK_GUARD - 1));
		CHECK(!cstack_isguard(s->buf.sp));
	}
	CHECK(!cstack_isguard(NULL));
	CHECK(!cstack_isguard(&page));
	CHECK(!cstack_isguard((void *)UINTPTR_MAX));
}

/* Limits --------------------------------------------------------------------- */

TEST(cstack_limit_leaves_mappings)
{
	CHECK(cstack_limit() > 0);
	CHECK(cstack_limit() <= os_maxmaps() / 4);
}

TEST_NARROW(cstack_shrinks_where_addresses_are_few)
{
	test_narrow((size_t)200 << 20);
	uint32_t n = cstack_limit();
	CHECK(n >= 16 && n <= 200);
	cstackpool_init(&pool, idle);
	CHECK(get()->buf.size >= CSTACK_MINSIZE - CSTACK_GUARD - os_pagesize());
}

TEST_NARROW(cstack_limit_is_eagain)
{
	test_narrow((size_t)200 << 20);
	cstackpool_init(&pool, idle);
	uint32_t n = cstack_limit();
	struct cstack *s = NULL;
	for (uint32_t i = 0; i < n; i++)
		s = get();
	errno = 0;
	CHECK(cstackget(&pool) == NULL);
	CHECK_EQ(errno, EAGAIN);
	errno = 0;
	CHECK(!cstack_spare(&pool));
	CHECK_EQ(errno, EAGAIN);
	cstackput(&pool, s);
	CHECK(cstack_spare(&pool));
	CHECK(get() == s);
	/* Another pool draws on the same arena. */
	struct cstackpool other;
	cstackpool_init(&other, idle);
	CHECK(cstackget(&other) == NULL);
}

TEST_NARROW(cstack_no_addresses_at_all)
{
	test_narrow((size_t)4 << 20);
	cstackpool_init(&pool, idle);
	CHECK_EQ(cstack_limit(), 0);
	CHECK(cstackget(&pool) == NULL);
	CHECK_EQ(errno, EAGAIN);
	CHECK(!cstack_isguard(&pool));
}

TEST(cstack_reserve_fails_once)
{
	os_failnth(1, ENOMEM);
	uint32_t n = cstack_limit();
	CHECK(n > 0 && n <= os_maxmaps() / 8);
}

TEST(cstack_commit_fails)
{
	cstackpool_init(&pool, idle);
	cstack_limit(); /* the arena is there */
	os_failnth(1, ENOMEM);
	CHECK(cstackget(&pool) == NULL);
	CHECK_EQ(errno, ENOMEM);
	os_failnth(1, ENOMEM);
	CHECK(!cstack_spare(&pool));
	CHECK_EQ(errno, ENOMEM);
	struct cstack *s = get();
	run(s);
	cstackput(&pool, s);
	os_failnth(1, ENOMEM);
	CHECK(get() == s); /* asks nobody */
}

/* Memory ------------------------------------------------------------------- */

static size_t resident(const char *lo, const char *hi)
{
	static unsigned char vec[1 << 16];
	size_t page = os_pagesize(), n = (size_t)(hi - lo) / page, sum = 0;
	CHECK(n <= sizeof vec);
	CHECK_EQ(mincore((void *)lo, n * page, vec), 0);
	for (size_t i = 0; i < n; i++)
		sum += vec[i] & 1;
	return sum * page;
}

enum { DEPTH = 512 << 10, SECOND = 1000000000 };

/* As a deep run would. */
static void soil(struct cstack *s)
{
	memset((char *)s->buf.sp - DEPTH, 1, DEPTH);
}

static size_t held(const struct cstack *s)
{
	char *top = (char *)((uintptr_t)s & ~(uintptr_t)(os_pagesize() - 1));
	return resident(top - DEPTH, top);
}

TEST(cstack_trim_gives_back)
{
	cstackpool_init(&pool, idle);
	struct cstack *s = get(), *inuse = get();
	CHECK(held(s) <= 2 * os_pagesize()); /* filled lazily */
	soil(s);
	soil(inuse);
	cstackput(&pool, s);
	int64_t now = 100 * (int64_t)SECOND;
	cstack_trim(&pool, now);
	CHECK(held(s) > 0); /* the warm end stays */
	CHECK(held(s) <= 68 << 10);
	CHECK(held(inuse) >= DEPTH - os_pagesize());
	run(get()); /* and the stack still works */
	CHECK_EQ(started, 1);
	soil(s);
	cstackput(&pool, s);
	cstack_trim(&pool, now + SECOND - 1); /* once a second */
	CHECK(held(s) >= DEPTH - os_pagesize());
	cstack_trim(&pool, now + SECOND);
	CHECK(held(s) <= 68 << 10);
}
