/* SPDX-License-Identifier: MIT */
/* handle.h - see handle.c. */
#ifndef LUAPARK_LUA_HANDLE_H
#define LUAPARK_LUA_HANDLE_H

#include "lua/host.h"

/* Makes the handles' metatable. */
void handle_open(lua_State *L, struct lstate *ls);

/* Names a goroutine for ever: its slot, and its id, which is never used again. */
struct handleid {
	uint32_t slot;
	uint64_t id;
};

/* Whether the value at idx is a goroutine's handle. */
bool handle_is(lua_State *L, struct lstate *ls, int idx);
/* The same, and whose. */
bool handle_id(lua_State *L, struct lstate *ls, int idx, struct handleid *out);
/* Pushes the handle of a goroutine that may be dead, or at home on any P; false, and
 * nothing, if there never was such a slot.  May raise a memory error. */
bool handle_push(lua_State *L, struct lstate *ls, const struct handleid *id);

/* gp, which has a handle here, dies or goes to another P: the handle stays what it is, as
 * long as somebody holds it. */
void handle_release(struct lstate *ls, G *gp);

#endif
