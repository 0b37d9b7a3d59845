/* SPDX-License-Identifier: MIT */
/* switch.h - leaving one C stack and going on upon another.
 *
 * Go has two words for it: gogo (the scheduler continues a G) and mcall (a G
 * leaves for the scheduler's stack, g0).  Both are the same act here, one
 * symmetrical switch; the two names in sched/proc.c say the direction.
 *
 * What is kept: every callee-saved register of the ABI, but for the
 * floating-point control words, which fpenv.h keeps where that is owed. */
#ifndef LUAPARK_ASM_SWITCH_H
#define LUAPARK_ASM_SWITCH_H

#include <stddef.h>

#include "base/sanitize.h"

/* A point of execution that can be continued: the stack pointer below which
 * lp_switch left the saved frame, and what sanitizers must be told. */
struct gobuf {
	void *sp;
	const void *lo; /* the stack's lowest address and its size, for ASan */
	size_t size;
	void *fakestack; /* ASan's */
	void *fiber;     /* TSan's */
};

/* Saves the current context, storing its stack pointer in *from, and continues
 * the context whose saved stack pointer is `to`.  Returns, when somebody comes
 * back to *from, the arg which they passed.
 *
 * A context that was never run starts at the frame that lp_switchframe laid. */
void *lp_switch(void **from, void *to, void *arg);

/* Lays the first frame on an empty stack that ends at `top` (16-byte aligned),
 * such that switching to the returned sp calls entry(arg), which must never
 * return.  Unwinders find the end of the stack there. */
void *lp_switchframe(void *top, void (*entry)(void *arg));

#ifdef LUAPARK_ASAN
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size);
void __asan_unpoison_memory_region(const volatile void *addr, size_t size);
#endif
#ifdef LUAPARK_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif

/* lp_switch with what the sanitizers need to hear about it. */
static inline void *gobuf_switch(struct gobuf *from, struct gobuf *to, void *arg)
{
#ifdef LUAPARK_ASAN
	__sanitizer_start_switch_fiber(&from->fakestack, to->lo, to->size);
#endif
#ifdef LUAPARK_TSAN
	__tsan_switch_to_fiber(to->fiber, 0);
#endif
	arg = lp_switch(&from->sp, to->sp, arg);
#ifdef LUAPARK_ASAN
	__sanitizer_finish_switch_fiber(from->fakestack, NULL, NULL);
#endif
	return arg;
}

/* The first thing to do on a fresh stack. */
static inline void gobuf_arrived(void)
{
#ifdef LUAPARK_ASAN
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
}

#endif
