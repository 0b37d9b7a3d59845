/* SPDX-License-Identifier: MIT */
/* codec.h - values as bytes, so that another state can have them.
 *
 * A message is bytes and references.  Whatever is a pointer is a reference, which the
 * bytes name by its number: bytes alone, however bad, never become a pointer, a module
 * to be loaded, or code.
 *
 *   message  flags, number of values, part+
 *   part     values in it, objects in it, object*, value*, content*
 *   object   string (bytes or a reference) | table (array size, hash size [, module of
 *            its metatable]) | function (code, upvalues) | copied function (the same)
 *            | variable (whether immutable) | global
 *   content  of each object but strings, in the same order: of a table its array, then
 *            keys and values; of a function its upvalues, of a copied one their
 *            variables; of a variable its value; of a global its name and value
 *   value    nil, a boolean, number, short string, cdata, or the number of an object
 *            (from 1, over all parts), a reference, a goroutine, or a known name
 *
 * So nothing is nested: neither side needs a deep stack, and cycles and shared objects
 * come of themselves.  The objects of a part come first, with their sizes, since
 * contents may name any of them.
 *
 * Numbers are varints.  A message that starts a goroutine has its function in a part of
 * its own: the same bytes mean the same function, which then need not be made anew, and
 * keeps its compiled traces. */
#ifndef LUAPARK_LUA_CODEC_H
#define LUAPARK_LUA_CODEC_H

#include "lua/values.h"
#include "park/obj.h"

enum codecmode {
	CODEC_SHARE, /* the one rule: functions must be portable */
	CODEC_COPY,  /* spawn: functions are copied, with what they capture, and the user's
			globals and modules that they name */
	CODEC_MOVE,  /* the first value is a function, to be called with the others there: only
			what nobody could tell from the originals (portable.h) */
};

struct msg;

/* The n values on top of L, which stay, as a message; its references it holds itself.
 * NULL when one of them cannot be sent: then why is on top of L, beginning with the path
 * to it.  what: a name for the values ("value"), or NULL if they are a function and its
 * arguments.  Runs nothing of the user's.  May raise memory errors. */
struct msg *msg_encode(lua_State *L, struct lstate *ls, int n, enum codecmode mode, const char *what);

/* Pushes the message's values; how many.  Raises an error where the bytes are not
 * right, or a module cannot be loaded; loading one may run and park. */
int msg_decode(lua_State *L, struct lstate *ls, const struct msg *m);

/* A message never changes: who holds a reference may read it.  Drops one, or adds one.  Any
 * thread. */
void msg_free(struct msg *m);
void msg_ref(struct msg *m);

/* How many there are in the process. */
uint32_t msg_count(void);

/* For tests: its bytes; and a message of other bytes, with the same references. */
const uint8_t *msg_bytes(const struct msg *m, size_t *n);
struct msg *msg_like(const struct msg *like, const uint8_t *bytes, size_t n);

#endif
