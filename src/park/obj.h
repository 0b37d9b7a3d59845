/* SPDX-License-Identifier: MIT */
/* obj.h - what several states may hold at once: a channel, a mutex, a socket, ...
 *
 * Counted references: each state's handle has one, so has each message on its way,
 * and each timer that will send.  The last one frees it, on whatever thread. */
#ifndef LUAPARK_PARK_OBJ_H
#define LUAPARK_PARK_OBJ_H

#include "base/atomic.h"

enum objkind {
	OBJ_CHAN,
	OBJ_WAITGROUP,
	OBJ_MUTEX,
	OBJ_ATOMIC,
	OBJ_CONN,
	OBJ_LISTENER,
	OBJ_RWMUTEX,
	OBJ_COND,
	OBJ_ONCE,
	OBJ_SEMAPHORE,
	OBJ_MAP,
	OBJ_TIMER,
	OBJ_DONE,
	OBJ_CTX,
	OBJ_KINDS
};

struct obj {
	atomic_u32 refs;
	uint8_t kind; /* enum objkind */
	void (*free)(struct obj *o);
};

static inline void obj_init(struct obj *o, enum objkind kind, void (*free)(struct obj *))
{
	store_relaxed(&o->refs, 1);
	o->kind = (uint8_t)kind;
	o->free = free;
}

static inline struct obj *obj_ref(struct obj *o)
{
	fetch_add_relaxed(&o->refs, 1);
	return o;
}

static inline void obj_unref(struct obj *o)
{
	/* Releases what we did with it to whoever frees it, who acquires it here. */
	if (fetch_sub_acqrel(&o->refs, 1) == 1)
		o->free(o);
}

#endif
