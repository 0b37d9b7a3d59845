/* SPDX-License-Identifier: MIT */
/* os.h - the operating system's calls, through one layer that tests can make fail.
 *
 * Each wrapper behaves as the call it names.  A test build may ask that the
 * n-th next call fails with a given errno (os_failnth), so that the paths
 * behind a failed mmap or socket are walked, not believed. */
#ifndef LUAPARK_BASE_OS_H
#define LUAPARK_BASE_OS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/throw.h"

/* Monotonic time in nanoseconds. */
int64_t nanotime(void);

/* Sleeps for about ns. */
void os_nanosleep(int64_t ns);

/* A cheap clock of unknown frequency that only ever grows: for "has enough
 * time passed to be worth asking the real clock".  See CPUTICKS_SOON. */
static inline uint64_t cputicks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t t;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t;
#else
	return (uint64_t)nanotime();
#endif
}

/* Ticks that pass in 10 to 30 microseconds on this architecture. */
#if defined(__x86_64__)
#define CPUTICKS_SOON 50000u
#elif defined(__aarch64__)
#define CPUTICKS_SOON 500u /* counters of 24 to 54 MHz are the rule */
#else
#define CPUTICKS_SOON 20000u
#endif

/* Address space for n bytes without memory behind it (PROT_NONE), or NULL
 * with errno. */
void *os_reserve(size_t n);

/* Makes n reserved bytes at p readable and writable.  0, or -1 with errno. */
int os_commit(void *p, size_t n);

/* Reserved and readable at once, filled lazily by the kernel; NULL with errno. */
void *os_reserverw(size_t n);

void os_release(void *p, size_t n);

/* Gives the memory behind n bytes at p back; they read as zero afterwards. */
void os_discard(void *p, size_t n);

size_t os_pagesize(void);

/* Lowest address and size of the calling thread's own stack. */
void os_stackbounds(const void **lo, size_t *size);

/* The kernel's limit on mappings of one process (vm.max_map_count). */
size_t os_maxmaps(void);

/* malloc and calloc that throw when memory is out: for the runtime's own small
 * fixed structures, whose loss nobody could handle. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);

/* Makes the n-th next call through this layer fail with err; 0 turns it off.
 * For tests. */
void os_failnth(int n, int err);

/* Nonzero when the current call is the one to fail; sets errno.  For wrappers
 * that live on higher floors beside the library they wrap. */
int os_mayfail(void);

#endif
