/* SPDX-License-Identifier: MIT */
/* decode.h - a decoder at work: shared by decode.c and kept.c. */
#ifndef LUAPARK_LUA_DECODE_H
#define LUAPARK_LUA_DECODE_H

#include "lua/msg.h"

enum { LOCALTAGS = 64 };

struct decoder {
	lua_State *L;
	struct lstate *ls;
	struct values *v;
	const struct msg *m;
	struct rd rd;
	int base;		/* on L: the results, */
	int env;		/* the environment of copied functions, or nil, */
	struct shelf objects;	/* the objects, */
	int tagsat;		/* and the memory of tags, if it is Lua's */
	uint32_t nobj;
	uint8_t *tag;		/* tag[i - 1]: enum objtag; 0: cannot be named */
	uint32_t captag;
	size_t budget;		/* for sizes of tables: what all bytes could be elements of */
	bool pathset;
	uint8_t local[LOCALTAGS];
};

_Noreturn void decode_bad(const struct decoder *d);

/* A count of things that take a byte each at least. */
uint32_t decode_count(struct decoder *d);

/* Functions that were made before: kept.c. */

/* At a call's first part.  Whether its function is there already; then it is result 1
 * and object 1, and the part is read.  If not, *keyed says whether the function may be
 * kept; its key is then on top of L, and *shared for decode_keep. */
bool decode_kept(struct decoder *d, bool *keyed, bool *shared);

/* The part was read: keeps its function, under the key on top, which is taken off. */
void decode_keep(struct decoder *d, bool shared);

#endif
