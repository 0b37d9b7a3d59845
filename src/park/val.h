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

struct valstr {
	size_t len;
	char data[];
};

/* What frees a message; the Lua floor sets it at start. */
extern void (*val_freemsg)(struct msg *m);

/* Any thread. */
void val_free(struct val *v);

#endif
