/* SPDX-License-Identifier: MIT */
/* fd.h - sockets as the net and http libraries know them: references of share.h. */
#ifndef LUAPARK_LUA_FD_H
#define LUAPARK_LUA_FD_H

#include "lua/host.h"
#include "park/netfd.h"

/* The socket at argument idx, or an argument error. */
struct netfd *fd_check(lua_State *L, int idx);

/* Returns nil, code: what calls of these libraries answer when they could not.
 * The Lua side makes words of the code, and of UV_EAGAIN a wait. */
int fd_fail(lua_State *L, ssize_t code);

#endif
