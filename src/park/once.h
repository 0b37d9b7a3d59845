/* SPDX-License-Identifier: MIT */
/* once.h - what is to be done once, and who waits until it is.  Any M. */
#ifndef LUAPARK_PARK_ONCE_H
#define LUAPARK_PARK_ONCE_H

#include "base/lock.h"
#include "park/obj.h"
#include "park/sudog.h"

enum oncestate { ONCE_NEW, ONCE_RUNS, ONCE_OVER };

struct honce {
	struct obj o;
	struct lock lock;
	atomic_i32 state; /* enum oncestate; written under lock */
	int32_t line;
};

/* NULL when memory is out. */
struct honce *once_new(void);

/* What the caller has found: ONCE_NEW: it is to run it now, and to say once_end; ONCE_RUNS:
 * somebody else does, and s, if not 0, is in the line; ONCE_OVER: what was done is seen. */
enum oncestate once_begin(struct honce *once, int32_t s);
void once_end(struct honce *once);
/* s, whose wait was decided elsewhere, leaves the line it may still stand in. */
void once_leave(struct honce *once, int32_t s);

#endif
