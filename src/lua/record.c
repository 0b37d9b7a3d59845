/* SPDX-License-Identifier: MIT */
/* record.c - functions and arguments of Gs that have not run.
 *
 * A G that has not run yet has its function and arguments in a record, found by
 * gp->wake: RECORD cells of a table that holds PAGE of them, A_RECORDS[page].
 * Such tables cost the collector much less than a small one for each G would;
 * and several of them less than a single large one, which would be copied as it
 * grew and traversed whole after each change.  Arguments that do not fit go into
 * a table of their own. */
#include "lua/record.h"

#include <stdlib.h>

enum { RECORD = 5, PACKED = RECORD - 1, PAGE = 1024 };

static int firstcell(uint32_t r)
{
	return (int)(r % PAGE * RECORD) + 1;
}

/* Records are handed out one after the other from the current page.  Gs start
 * in about the order in which they were made, so pages empty as a whole; an empty
 * one is given back to the collector. */
static uint32_t take(struct lstate *ls)
{
	if (ls->bump == PAGE) {
		ls->bump = 0;
		if (ls->nfreepage > 0) {
			ls->page = ls->freepage[--ls->nfreepage];
		} else {
			ls->page = ls->npage++;
			ls->used = realloc(ls->used, ls->npage * sizeof *ls->used);
			ls->freepage = realloc(ls->freepage, ls->npage * sizeof *ls->freepage);
			if (!ls->used || !ls->freepage)
				throw("out of memory");
			ls->used[ls->page] = 0;
		}
	}
	ls->used[ls->page]++;
	return ls->page * PAGE + ls->bump++;
}

uint32_t record_put(lua_State *L, struct lstate *ls, int n, int records)
{
	if (n > PACKED) { /* {args...} is the one argument */
		lua_createtable(L, n, 0);
		lua_insert(L, -n - 1);
		for (int i = n; i > 0; i--)
			lua_rawseti(L, -i - 1, i);
		n = 1;
	}
	uint32_t r = take(ls), page = r / PAGE + 1;
	lua_rawgeti(L, records, (int)page);
	if (lp_unlikely(lua_isnil(L, -1))) {
		lua_pop(L, 1);
		lua_createtable(L, PAGE * RECORD + 1, 0);
		lua_pushvalue(L, -1);
		lua_rawseti(L, records, (int)page);
	}
	lua_insert(L, -n - 2);
	for (int i = n; i >= 0; i--)
		lua_rawseti(L, -i - 2, firstcell(r) + i);
	lua_pop(L, 1);
	return r;
}

void record_free(struct lstate *ls, uint32_t r, int n)
{
	lua_State *A = ls->anchor;
	int cells = n > PACKED ? 2 : n + 1;
	lua_rawgeti(A, A_RECORDS, (int)(r / PAGE) + 1);
	for (int i = 0; i < cells; i++) {
		lua_pushnil(A);
		lua_rawseti(A, -2, firstcell(r) + i);
	}
	lua_pop(A, 1);
	uint32_t page = r / PAGE;
	if (--ls->used[page] > 0)
		return;
	if (page == ls->page) {
		ls->bump = 0;
		return;
	}
	lua_pushnil(A);
	lua_rawseti(A, A_RECORDS, (int)page + 1);
	ls->freepage[ls->nfreepage++] = page;
}

/* Pushes the function and n arguments of record r onto A, the anchor. */
static void push(lua_State *A, uint32_t r, int n)
{
	int cells = n > PACKED ? 2 : n + 1;
	lua_rawgeti(A, A_RECORDS, (int)(r / PAGE) + 1);
	int page = lua_gettop(A);
	for (int i = 0; i < cells; i++)
		lua_rawgeti(A, page, firstcell(r) + i);
	if (n > PACKED) {
		for (int i = 1; i <= n; i++)
			lua_rawgeti(A, page + 2, i);
		lua_remove(A, page + 2);
	}
	lua_remove(A, page);
}

void record_take(struct lstate *ls, uint32_t r, lua_State *co, int n)
{
	lua_State *A = ls->anchor;
	if (n > PACKED && (!lua_checkstack(co, n + 3) || !lua_checkstack(A, n + 3)))
		throw("too many arguments for a goroutine");
	push(A, r, n);
	lua_xmove(A, co, n + 1);
	record_free(ls, r, n);
}

void record_copy(struct lstate *ls, uint32_t r, lua_State *S, int n)
{
	lua_State *A = ls->anchor;
	if (!lua_checkstack(A, n + 3))
		luaL_error(S, "not enough memory");
	luaL_checkstack(S, n + 2, "arguments of a goroutine");
	push(A, r, n);
	lua_xmove(A, S, n + 1);
}

void record_init(struct lstate *ls)
{
	ls->bump = PAGE; /* the first record takes the first page */
}
