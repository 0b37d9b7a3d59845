/* SPDX-License-Identifier: MIT */
/* atomic.h - the only file that spells an atomic.
 *
 * The memory order is in the name.  Every acquire, release or seq-cst site says
 * in a comment which site it pairs with; relaxed needs no partner and promises
 * no order, only that the value is whole. */
#ifndef LUAPARK_BASE_ATOMIC_H
#define LUAPARK_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint8_t atomic_u8;
typedef _Atomic uint32_t atomic_u32;
typedef _Atomic uint64_t atomic_u64;

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)


/* One attempt, which may fail for no reason; then *old is what was there. */
#define cas_weak_relaxed(p, old, new) \
	atomic_compare_exchange_weak_explicit((p), (old), (new), memory_order_relaxed, memory_order_relaxed)

#endif
