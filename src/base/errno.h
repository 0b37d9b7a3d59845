/* SPDX-License-Identifier: MIT */
/* errno.h - included before all of our sources, and LuaJIT's, which keeps errno around hooks.
 *
 * glibc declares the address of errno as constant, and so it is for a thread; but a function
 * whose stack was left in the middle may come back on another one, and must ask again. */
#ifndef __ASSEMBLER__
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* which must come before the first header of the system */
#endif
#include <errno.h>
#ifdef __GLIBC__
extern int *luapark_errno(void) __asm__("__errno_location");
#undef errno
#define errno (*luapark_errno())
#endif
#endif
