/* SPDX-License-Identifier: MIT */
/* record.h - functions and arguments of Gs that have not run: see record.c. */
#ifndef LUAPARK_LUA_RECORD_H
#define LUAPARK_LUA_RECORD_H

#include "lua/host.h"

void record_init(struct lstate *ls);

/* Pops the function and n arguments on top of L into a new record; records: where
 * on L A_RECORDS is.  May raise a memory error. */
uint32_t record_put(lua_State *L, struct lstate *ls, int n, int records);

/* Moves the function and n arguments of a record, which it frees, to co. */
void record_take(struct lstate *ls, uint32_t r, lua_State *co, int n);

/* Pushes the function and n arguments of a record, which stays, onto S.  May raise a memory
 * error. */
void record_copy(struct lstate *ls, uint32_t r, lua_State *S, int n);

/* Frees a record with a function and n arguments. */
void record_free(struct lstate *ls, uint32_t r, int n);

#endif
