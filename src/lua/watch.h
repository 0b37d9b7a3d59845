/* SPDX-License-Identifier: MIT */
/* watch.h - known tables, and whether they are as they were. */
#ifndef LUAPARK_LUA_WATCH_H
#define LUAPARK_LUA_WATCH_H

#include "lua/known.h"

/* From now on the table on top of L, known as k, is watched.  changed: how it is
 * not what it should be already, or NULL. */
void watch_start(lua_State *L, struct values *v, struct known *k, const char *changed);
void watch_free(struct snapshot *s);

/* Whether the table is as it was.  If not, why says what changed. */
bool known_unchanged(lua_State *L, struct values *v, struct known *k, char *why, size_t size);

/* Whether values of base types behave as they did: no metatable but strings', and
 * `string` behind that as it was. */
bool known_baseunchanged(lua_State *L, struct values *v, char *why, size_t size);

/* Whether the global is Lua's own. */
bool known_isglobal(lua_State *L, struct values *v, const char *name);

/* Whether io.write and io.read use stdout and stdin. */
bool known_defaultio(lua_State *L, struct values *v);

#endif
