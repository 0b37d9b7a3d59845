/* SPDX-License-Identifier: MIT */
/* handle.h - see handle.c. */
#ifndef LUAPARK_LUA_HANDLE_H
#define LUAPARK_LUA_HANDLE_H

#include "lua/host.h"

/* Makes the handles' metatable. */
void handle_open(lua_State *L, struct lstate *ls);

#endif
