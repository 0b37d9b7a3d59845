/* SPDX-License-Identifier: MIT */
/* throw.h - the impossible dies at once, with a constant text.
 *
 * throw() is for broken invariants of the runtime itself, never for what a
 * user's program can cause: that is an error in Lua.  Knows no G and no Lua. */
#ifndef LUAPARK_BASE_THROW_H
#define LUAPARK_BASE_THROW_H

/* Prints "fatal error: WHY" on stderr and aborts.  Any thread. */
_Noreturn void throw(const char *why);

/* An invariant: always checked in debug builds, and never with side effects. */
#ifdef LUAPARK_DEBUG_BUILD
#define lp_assert(cond) ((cond) ? (void)0 : throw("assertion failed: " #cond))
#else
#define lp_assert(cond) ((void)0)
#endif

#define lp_likely(x) __builtin_expect(!!(x), 1)
#define lp_unlikely(x) __builtin_expect(!!(x), 0)

#endif
