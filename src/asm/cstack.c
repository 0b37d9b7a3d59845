/* SPDX-License-Identifier: MIT */
#include "asm/cstack.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/atomic.h"
#include "base/os.h"
#include "base/throw.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define LUAPARK_VALGRIND 1
#endif
#endif

/* The arena.  Written once by arena_init; `used` only grows. */
static struct {
	pthread_once_t once;
	char *base;
	size_t stride; /* guard and stack */
	size_t page;
	uint32_t limit;
	atomic_u32 used;
} arena = {.once = PTHREAD_ONCE_INIT};

enum { KEEPWARM = 64 << 10 }; /* what a free stack keeps below its top */

static void arena_init(void)
{
	arena.page = os_pagesize();
	uint32_t want = (uint32_t)(os_maxmaps() / 4);
#ifdef LUAPARK_TSAN
	if (want > 4096) /* TSan counts a fibre as a thread, and dies of 8,128 */
		want = 4096;
#endif
	size_t stride = CSTACK_SIZE;
	uint32_t n = want;
	/* Where the address space is narrow (ulimit -v, valgrind, TSan's layout)
	 * first fewer stacks, then smaller ones. */
	while ((arena.base = os_reserve(n * stride)) == NULL) {
		if (n > 1024 || (stride == CSTACK_MINSIZE && n > 16)) {
			n /= 2;
		} else if (stride > CSTACK_MINSIZE) {
			stride /= 2;
			n = want;
		} else {
			break;
		}
	}
	arena.stride = stride;
	arena.limit = arena.base ? n : 0;
}

static struct cstack *newstack(struct cstackpool *pool)
{
	pthread_once(&arena.once, arena_init);
	uint32_t i = load_relaxed(&arena.used);
	do {
		if (i >= arena.limit) {
			errno = EAGAIN;
			return NULL;
		}
	} while (!cas_weak_relaxed(&arena.used, &i, i + 1));
	char *lo = arena.base + i * arena.stride + CSTACK_GUARD;
	size_t size = arena.stride - CSTACK_GUARD;
	if (os_commit(lo, size) != 0)
		return NULL; /* the slot is lost; the kernel is out of mappings, so is the next */
	struct cstack *s = (struct cstack *)(lo + size) - 1;
	s = (struct cstack *)((uintptr_t)s & ~(uintptr_t)63);
	memset(s, 0, sizeof *s);
	s->lo = lo;
#ifdef LUAPARK_VALGRIND
	(void)VALGRIND_STACK_REGISTER(lo, s);
#endif
	cstack_reset(pool, s);
	return s;
}

void cstackpool_init(struct cstackpool *pool, void (*main)(void *arg))
{
	memset(pool, 0, sizeof *pool);
	pool->main = main;
}

void cstack_reset(struct cstackpool *pool, struct cstack *s)
{
#ifdef LUAPARK_TSAN
	if (s->buf.fiber)
		__tsan_destroy_fiber(s->buf.fiber);
	s->buf.fiber = __tsan_create_fiber(0);
#endif
#ifdef LUAPARK_ASAN
	if (s->buf.sp) /* frames that will never return have left their redzones */
		__asan_unpoison_memory_region(s->buf.sp, (size_t)((char *)s - (char *)s->buf.sp));
#endif
	s->buf.lo = s->lo;
	s->buf.size = (size_t)((char *)s - s->lo);
	s->buf.fakestack = NULL;
	s->buf.sp = lp_switchframe(s, pool->main);
}

struct cstack *cstackget(struct cstackpool *pool)
{
	struct cstack *s = pool->free;
	if (lp_likely(s != NULL))
		pool->free = s->next;
	else
		s = newstack(pool);
	if (lp_likely(s != NULL))
		s->used = true;
	return s;
}

bool cstack_spare(struct cstackpool *pool)
{
	if (lp_likely(pool->free != NULL))
		return true;
	struct cstack *s = newstack(pool);
	if (s)
		cstackput(pool, s);
	return s != NULL;
}

void cstack_trim(struct cstackpool *pool, int64_t now)
{
	if (now - pool->trimmed < 1000000000)
		return;
	pool->trimmed = now;
	for (struct cstack *s = pool->free; s; s = s->next) {
		if (!s->used)
			continue;
		s->used = false;
		char *warm = (char *)(((uintptr_t)s - KEEPWARM) & ~(uintptr_t)(arena.page - 1));
		os_discard(s->lo, (size_t)(warm - s->lo));
	}
}

uint32_t cstack_limit(void)
{
	pthread_once(&arena.once, arena_init);
	return arena.limit;
}

bool cstack_isguard(const void *addr)
{
	uintptr_t off = (uintptr_t)addr - (uintptr_t)arena.base;
	return arena.base && off < (uintptr_t)arena.limit * arena.stride && off % arena.stride < CSTACK_GUARD;
}
