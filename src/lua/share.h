/* SPDX-License-Identifier: MIT */
/* share.h - handles: the tables by which a state knows an object that others may
 * know too (a channel, a wait group, a mutex, an atomic, a socket).  See share.c. */
#ifndef LUAPARK_LUA_SHARE_H
#define LUAPARK_LUA_SHARE_H

#include "lua/host.h"
#include "park/obj.h"

/* Whether the value at idx is a handle, shared or still local.  Raises nothing. */
bool share_is(lua_State *L, struct lstate *ls, int idx);

/* Whether it is a channel at home with a value in it, or a sender that waits.  Likewise. */
bool share_busy(lua_State *L, struct lstate *ls, int idx);

/* The object behind the handle at idx; a handle that was local becomes shared.
 * The reference stays the handle's: obj_ref it to keep it.  NULL, with the reason on top
 * of L, if a value in it cannot cross.  May raise memory errors. */
struct obj *share_obj(lua_State *L, struct lstate *ls, int idx);

/* Pushes this state's handle of o, the same table each time. */
void share_push(lua_State *L, struct lstate *ls, struct obj *o);

/* Pushes a handle of o, which is new: the caller's reference becomes the handle's.  NULL
 * raises a memory error. */
void share_pushnew(lua_State *L, struct lstate *ls, struct obj *o);

/* Pushes a reference, the H_REF of a handle: the caller's becomes the collector's. */
void share_pushref(lua_State *L, struct obj *o);

/* The object of the reference at idx, or an argument error; NULL if it was collected, and a
 * finalizer came by it. */
struct obj *share_checkref(lua_State *L, int idx);

void share_open(lua_State *L, struct lstate *ls);

#endif
