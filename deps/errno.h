/* SPDX-License-Identifier: MIT */
/* errno.h - included before all of LuaJIT's sources.
 *
 * LuaJIT keeps errno around a hook.  glibc declares the address of errno as constant, and so
 * it is for a thread; but a goroutine that a hook has switched away may come back on another
 * one, and the compiler must ask again. */
#ifndef __ASSEMBLER__
#include <errno.h>
#ifdef __GLIBC__
extern int *luapark_errno(void) __asm__("__errno_location");
#undef errno
#define errno (*luapark_errno())
#endif
#endif
