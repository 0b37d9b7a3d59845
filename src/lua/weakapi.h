/* SPDX-License-Identifier: MIT */
/* weakapi.h - included before all of src/lua where that becomes the C module (see the Makefile).
 *
 * The module's symbols of Lua are the host's.  That they may be missing lets it be loaded into any Lua, and say what it
 * thinks of that (core.c), where the loader would name some symbol that is not there.  luaL_error, which all Luas have,
 * must be there: in a host that shows no symbols at all the loader has the last word. */
#ifndef LUAPARK_LUA_WEAKAPI_H
#define LUAPARK_LUA_WEAKAPI_H

#include <luaconf.h>

#undef LUA_API
#define LUA_API extern __attribute__((weak))

#endif
