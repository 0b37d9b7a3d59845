/* SPDX-License-Identifier: MIT */
/* val.h - a value on its way between states.
 *
 * What most channels carry, numbers, needs no memory; strings are bytes of their own;
 * everything else is a message of the value codec (lua/codec.h), opaque here.  Also
 * read by compiled Lua code: lua/luapark/rt.lua has the same layout. */
#ifndef LUAPARK_PARK_VAL_H
#define LUAPARK_PARK_VAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

enum valtag { VAL_NIL, VAL_FALSE, VAL_TRUE, VAL_NUM, VAL_PTR, VAL_STR, VAL_MSG };

struct val {
	int32_t tag; /* enum valtag */
	uint32_t unused;
	union {
		double n;
		void *p;	 /* VAL_PTR: light userdata */
		struct valstr *s;
		struct msg *m;
	} u;
};

/* Never changes; counted references. */
struct valstr {
	atomic_u32 refs;
	size_t len;
	char data[];
};

/* What adds a reference to a message, and what drops one; the Lua floor sets them at start. */
extern void (*val_refmsg)(struct msg *m);
extern void (*val_freemsg)(struct msg *m);

/* The same value once more, to be freed on its own.  Any thread. */
struct val val_ref(const struct val *v);
/* Any thread. */
void val_free(struct val *v);

#endif
