/* SPDX-License-Identifier: MIT */
/* cstack.h - the C stacks that Gs run on: guarded, pooled, from one arena.
 *
 * Address space is cheap and memory is not: each stack reserves CSTACK_SIZE of
 * addresses, of which the kernel backs only the pages that were touched.  128 MB
 * is not extravagance: one nesting of string.gsub takes 8.7 KB of C stack
 * (luaL_Buffer), and Lua's own stack admits 8,180 of them before it says "stack
 * overflow".  With less, a deep recursion would die on the guard page where
 * plain LuaJIT on an unlimited stack raises an error.
 *
 *      arena:  | guard | stack 0 ... hdr | guard | stack 1 ... hdr | ...
 *                 ^ PROT_NONE                the header lies at the top
 *
 * A guard is wider than frames are, for who overflows need not touch each page: it would
 * step over a single one, by a luaL_Buffer's 8 KB, into the stack of another G.
 *
 * Each stack in use costs two of the kernel's mappings.  The arena stays at a
 * quarter of vm.max_map_count, because the JIT and everybody else need theirs.
 *
 * The arena is the process's; a pool is one P's, and touched by its owner only. */
#ifndef LUAPARK_ASM_CSTACK_H
#define LUAPARK_ASM_CSTACK_H

#include <stdbool.h>
#include <stdint.h>

#include "asm/switch.h"

#define CSTACK_SIZE ((size_t)128 << 20)
#define CSTACK_MINSIZE ((size_t)1 << 20) /* what a narrow address space may shrink it to */
#define CSTACK_GUARD ((size_t)64 << 10)	 /* the part of it below the stack */

/* The header at the top of each stack. */
struct cstack {
	struct gobuf buf;
	struct cstack *next; /* in a pool's list of free stacks */
	char *lo;            /* above the guard page */
	bool used;           /* ran something since its memory was last given back */
};

struct cstackpool {
	struct cstack *free; /* last in, first out: the warmest first */
	void (*main)(void *arg);
	int64_t trimmed; /* when cstack_trim last ran, ns */
};

void cstackpool_init(struct cstackpool *pool, void (*main)(void *arg));

/* A stack on which main has not run yet or waits in its switch for the next
 * thing to do.  NULL with errno when the arena is full (EAGAIN) or the kernel
 * refuses (ENOMEM).  Owner of the pool only. */
struct cstack *cstackget(struct cstackpool *pool);

/* Owner of the pool only. */
static inline void cstackput(struct cstackpool *pool, struct cstack *s)
{
	s->next = pool->free;
	pool->free = s;
}

/* Whether the pool has a stack to spare, making one if it must: who means to
 * park with a stack asks first, so that the next G always finds one.  false
 * with errno as cstackget.  Owner of the pool only. */
bool cstack_spare(struct cstackpool *pool);

/* Forgets what ran on s, so that main begins anew on it: for a G that ended
 * without coming back from the C frames it stood in.  Not while running on s. */
void cstack_reset(struct cstackpool *pool, struct cstack *s);

/* Gives the deep pages of free stacks back to the kernel, once a second at
 * most.  Owner of the pool only. */
void cstack_trim(struct cstackpool *pool, int64_t now);

/* How many stacks may exist in the process. */
uint32_t cstack_limit(void);

/* Whether addr lies in a guard of the arena.  Safe in a signal handler. */
bool cstack_isguard(const void *addr);

#endif
