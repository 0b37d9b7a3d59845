/* SPDX-License-Identifier: MIT */
/* context.h - contexts that several Ps know.
 *
 * A context is at home in lua/luapark/context.lua, with its children, until it first goes to
 * another P.  What all Ps must agree on is then here: whether it has ended, and why.  Whoever
 * ends it closes its channel, and by that each P that has children of it learns.
 *
 * One that only adds a value ends with the context that it was made of, its core; the
 * background's ends never.  Any M. */
#ifndef LUAPARK_PARK_CONTEXT_H
#define LUAPARK_PARK_CONTEXT_H

#include "base/lock.h"
#include "park/chan.h"

enum ctxerr { CTX_LIVES, CTX_CANCELED, CTX_DEADLINE };

struct hctx {
	struct obj o;
	struct lock lock;  /* err and cause, until err is set */
	struct hctx *core; /* itself, or a reference; NULL: it never ends */
	struct hchan *done; /* of a core; its `when` is the deadline */
	uint8_t err;	   /* enum ctxerr */
	struct val cause;
	/* Written before others know it: */
	struct val duecause; /* the cause if its deadline passes, unless nil */
	struct val values;   /* a table of all values, or nil */
};

/* NULL when memory is out. */
struct hctx *ctx_new(void);

enum ctxerr ctx_err(struct hctx *c);

/* Ends it; false if it had ended.  Else *cause is its own from then on. */
bool ctx_cancel(struct hctx *c, enum ctxerr why, const struct val *cause);

/* Why it ended: the value is there as long as the context is.  It has ended. */
const struct val *ctx_cause(struct hctx *c);

#endif
