/* SPDX-License-Identifier: MIT */
/* cross.h - single values to and from struct val. */
#ifndef LUAPARK_LUA_CROSS_H
#define LUAPARK_LUA_CROSS_H

#include "lua/host.h"
#include "park/val.h"

/* Makes *v of the value at idx, which is called `what`.  False, with the reason on top of L, if
 * it cannot cross: "value.conn: ...".  May raise a memory error. */
bool cross_out(lua_State *L, struct lstate *ls, int idx, const char *what, struct val *v);

/* Pushes *v, which is empty afterwards, also if this raises an error. */
void cross_in(lua_State *L, struct lstate *ls, struct val *v);

/* Pushes *v, which stays as it is. */
void cross_look(lua_State *L, struct lstate *ls, const struct val *v);

/* A string as VAL_STR; for FFI too. */
void cross_string(struct val *v, const char *s, size_t len);

#endif
