/* SPDX-License-Identifier: MIT */
/* fpenv.h - the floating-point control words: rounding, traps, flush-to-zero.
 *
 * The ABI has them preserved across calls, so a switch that happens inside a C
 * call must preserve them too: a library that rounds upward while it calls back
 * into Lua must find its mode again, and nobody else may compute with it.
 *
 * They are not part of lp_switch.  Reading MXCSR costs 4 ns, twice what the rest
 * of a switch does, and a G that parks by a plain coroutine yield is not inside
 * anybody's C call: its modes are its thread's, as they are for any coroutines
 * that take turns on one.  So the words are saved and restored where a C stack
 * is kept, and there alone. */
#ifndef LUAPARK_ASM_FPENV_H
#define LUAPARK_ASM_FPENV_H

#include <stdint.h>

struct fpenv {
	uint32_t sse; /* MXCSR, or the low half of FPCR */
	uint16_t x87;
};

static inline struct fpenv fpenv_get(void)
{
	struct fpenv e = {0, 0};
#if defined(__x86_64__)
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(e.sse), "=m"(e.x87));
	e.sse &= 0xffc0; /* the low bits are sticky flags, not control */
#elif defined(__aarch64__)
	uint64_t fpcr;
	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	e.sse = (uint32_t)fpcr;
#endif
	return e;
}

/* Loads only what differs: loading serialises, and it seldom does. */
static inline void fpenv_set(struct fpenv want)
{
	struct fpenv have = fpenv_get();
#if defined(__x86_64__)
	if (have.sse != want.sse)
		__asm__ volatile("ldmxcsr %0" : : "m"(want.sse));
	if (have.x87 != want.x87)
		__asm__ volatile("fldcw %0" : : "m"(want.x87));
#elif defined(__aarch64__)
	if (have.sse != want.sse)
		__asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)want.sse));
#else
	(void)have;
	(void)want;
#endif
}

#endif
