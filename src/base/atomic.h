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

#include "base/sanitize.h"

typedef _Atomic bool atomic_flg;
typedef _Atomic uint8_t atomic_u8;
typedef _Atomic uint32_t atomic_u32;
typedef _Atomic int32_t atomic_i32;
typedef _Atomic uint64_t atomic_u64;
typedef _Atomic int64_t atomic_i64;
#define atomic_ptr(type) _Atomic(type *)

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define load_seqcst(p) atomic_load_explicit((p), memory_order_seq_cst)
#define store_seqcst(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

#define fetch_add_relaxed(p, n) atomic_fetch_add_explicit((p), (n), memory_order_relaxed)
#define fetch_add_seqcst(p, n) atomic_fetch_add_explicit((p), (n), memory_order_seq_cst)
#define fetch_sub_relaxed(p, n) atomic_fetch_sub_explicit((p), (n), memory_order_relaxed)
#define fetch_sub_seqcst(p, n) atomic_fetch_sub_explicit((p), (n), memory_order_seq_cst)
#define fetch_or_seqcst(p, n) atomic_fetch_or_explicit((p), (n), memory_order_seq_cst)
#define fetch_and_seqcst(p, n) atomic_fetch_and_explicit((p), (n), memory_order_seq_cst)
#define fetch_sub_acqrel(p, n) atomic_fetch_sub_explicit((p), (n), memory_order_acq_rel)
#define exchange_acqrel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define exchange_seqcst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define exchange_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)

/* One attempt; *old is afterwards what was there.  weak may fail for no reason. */
#define cas_weak_relaxed(p, old, new) \
	atomic_compare_exchange_weak_explicit((p), (old), (new), memory_order_relaxed, memory_order_relaxed)
#define cas_weak_release(p, old, new) \
	atomic_compare_exchange_weak_explicit((p), (old), (new), memory_order_release, memory_order_relaxed)
#define cas_acqrel(p, old, new) \
	atomic_compare_exchange_strong_explicit((p), (old), (new), memory_order_acq_rel, memory_order_relaxed)
#define cas_seqcst(p, old, new) \
	atomic_compare_exchange_strong_explicit((p), (old), (new), memory_order_seq_cst, memory_order_seq_cst)

/* Between a store and a load that others do in the opposite order. */
#ifdef LUAPARK_TSAN
/* TSan knows no fences.  A locked instruction on a word of our own is one to the processors
 * that TSan runs on, and tells it of no order that is not there. */
static inline void fence_seqcst(void)
{
	static _Thread_local atomic_u32 own;
	atomic_fetch_add_explicit(&own, 1, memory_order_seq_cst);
}
#else
#define fence_seqcst() atomic_thread_fence(memory_order_seq_cst)
#endif

/* In a loop that waits for another thread to store. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
