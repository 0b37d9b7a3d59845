/* SPDX-License-Identifier: MIT */
/* frames.c - the lines of a traceback.
 *
 * They are those of luaL_traceback, but for three things:
 *
 * - What runs in the user's own coroutines is part of the goroutine's stack: where the
 *   innermost function is one that has resumed a coroutine, that one's lines come first.
 *   So an error that came out of a coroutine.wrap shows where it was raised.
 * - Luapark's own functions are one line, "[luapark]: in function 'recv'", with what they
 *   have called themselves left out; below the user's first function, none at all.
 * - What is left out in the middle is counted, as Go does. */
#include <stdio.h>
#include <string.h>

#include "lua/host.h"

enum {
	INNERMOST = 12, /* levels before the gap, */
	OUTERMOST = 10, /* and behind it */
	NESTED = 8,	/* coroutines: as many at either end, */
	COROUTINES = 250, /* of no more than these */
};

static char ours[LUA_IDSIZE * 4]; /* how the sources of our Lua files begin */
static bool showours;		  /* LUAPARK_DEBUG=frames */

void ours_init(lua_State *L)
{
	lua_Debug ar;
	showours = scheddebug("frames");
	if (!lua_getstack(L, 1, &ar) || !lua_getinfo(L, "S", &ar))
		return;
	const char *end = strrchr(ar.source, '/');
	size_t n = end ? (size_t)(end - ar.source) + 1 : 0;
	if (n < sizeof ours) {
		memcpy(ours, ar.source, n);
		ours[n] = '\0';
	}
}

const char *ours_file(const lua_Debug *ar)
{
	size_t n = strlen(ours);
	if (strcmp(ar->source, "=luapark") == 0) /* the codec's own (values.c) */
		return "luapark";
	return n > 0 && strncmp(ar->source, ours, n) == 0 ? ar->source + n : NULL;
}

/* One coroutine's frames ----------------------------------------------------- */

enum whose { NOBODYS, USERS, CS, OURS };

/* Whose function stands at the level; NOBODYS: there is none. */
static enum whose look(lua_State *co, int level, const char *what, lua_Debug *ar)
{
	if (!lua_getstack(co, level, ar) || !lua_getinfo(co, what, ar))
		return NOBODYS;
	if (*ar->what == 'C')
		return CS;
	return !showours && ours_file(ar) ? OURS : USERS;
}

/* How many levels there are. */
static int depth(lua_State *co)
{
	lua_Debug ar;
	int lo = 0, hi = INNERMOST + OUTERMOST + 2; /* lo <= depth, and in the end < hi */
	while (lua_getstack(co, hi - 1, &ar)) {
		lo = hi;
		hi *= 2;
	}
	while (hi - lo > 1) {
		int mid = lo + (hi - lo) / 2;
		if (lua_getstack(co, mid - 1, &ar))
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Which C function it is when nobody gave it a name only luaL_traceback can tell. */
static void addnameless(luaL_Buffer *b, lua_State *co, int level)
{
	lua_State *L = b->L;
	luaL_traceback(L, co, NULL, level);
	const char *s = lua_tostring(L, -1), *line = strchr(s, '\n');
	line = line ? line + 1 : s;
	lua_pushlstring(L, line, strcspn(line, "\n"));
	lua_remove(L, -2);
	luaL_addvalue(b);
}

static void addline(luaL_Buffer *b, lua_State *co, int level)
{
	lua_Debug ar;
	char buf[2 * LUA_IDSIZE + 32];
	enum whose whose = look(co, level, "Snl", &ar);
	if (whose == CS && !*ar.namewhat) {
		addnameless(b, co, level);
		luaL_addchar(b, '\n');
		return;
	}
	if (whose == OURS)
		snprintf(buf, sizeof buf, "\t[luapark]:");
	else if (ar.currentline > 0)
		snprintf(buf, sizeof buf, "\t%s:%d:", ar.short_src, ar.currentline);
	else
		snprintf(buf, sizeof buf, "\t%s:", ar.short_src);
	luaL_addstring(b, buf);
	if (*ar.namewhat) {
		luaL_addstring(b, " in function '");
		luaL_addstring(b, ar.name);
		luaL_addstring(b, "'\n");
		return;
	}
	if (*ar.what == 'm')
		snprintf(buf, sizeof buf, " in main chunk\n");
	else
		snprintf(buf, sizeof buf, " in function <%.*s:%d>\n", LUA_IDSIZE,
			 whose == OURS ? ours_file(&ar) : ar.short_src, ar.linedefined);
	luaL_addstring(b, buf);
}

/* Of the functions from `level` on that are ours or C's: *shown is the outermost of ours,
 * or `level` if there is none; returns the first level of the user's behind them, or `end`. */
static int run(lua_State *co, int level, int end, int *shown)
{
	lua_Debug ar;
	enum whose whose;
	for (*shown = level; level < end && (whose = look(co, level, "S", &ar)) != USERS; level++)
		if (whose == OURS)
			*shown = level;
	return level;
}

/* Adds co's lines from `level` on; how many.  own: its last level is our xpcall. */
static int addlines(luaL_Buffer *b, lua_State *co, int level, bool own, int before)
{
	lua_Debug ar;
	int all = depth(co), end = own ? all - 1 : all, n = 0;
	bool gap = all > INNERMOST + OUTERMOST + 1;
	while (level < end) {
		if (gap && level >= INNERMOST) {
			char buf[64];
			gap = false;
			if (level < all - OUTERMOST) {
				snprintf(buf, sizeof buf, "\t...%d frames elided...\n", all - OUTERMOST - level);
				luaL_addstring(b, buf);
				level = all - OUTERMOST;
			}
		}
		int shown = level, next = level + 1;
		if (look(co, level, "S", &ar) != USERS) {
			next = run(co, level, end, &shown);
			look(co, shown, "S", &ar);
			if (*ar.what == 'C') { /* none of ours among them */
				next = level + 1;
			} else if (next == end && own && before + n > 0) {
				break;
			} else {
				next = shown + 1;
			}
		}
		addline(b, co, shown);
		n++;
		level = next;
	}
	return n;
}

/* The coroutines of a goroutine ----------------------------------------------- */

/* The coroutine that co's innermost function, at `level`, has resumed and that has not come
 * back: it runs; or it has ended by an error, which is why co stands there.  NULL: none. */
static lua_State *resumed(lua_State *co, int level)
{
	lua_Debug ar, inner;
	if (look(co, level, "Sf", &ar) == NOBODYS)
		return NULL;
	lua_State *to = NULL;
	if (*ar.what == 'C' && lua_getupvalue(co, -1, 1)) { /* coroutine.wrap's function has it as upvalue */
		to = lua_tothread(co, -1);
		lua_pop(co, 1);
	}
	lua_pop(co, 1);
	if (*ar.what == 'C' && !to && lua_getlocal(co, &ar, 1)) { /* coroutine.resume as argument */
		to = lua_tothread(co, -1);
		to = to && lua_status(to) == 0 ? to : NULL; /* resume raises no errors */
		lua_pop(co, 1);
	}
	if (!to || lua_status(to) == LUA_YIELD || !lua_getstack(to, 0, &inner))
		return NULL;
	return to;
}

static bool among(lua_State *const *all, int n, const lua_State *co)
{
	for (int i = 0; i < n; i++)
		if (all[i] == co)
			return true;
	return false;
}

int host_pushframes(lua_State *L, lua_State *base, lua_State *top, int level, bool own)
{
	lua_State *all[COROUTINES + 1] = {base}, *co;
	int n = 1, lines = 0;
	while (n < COROUTINES && (co = resumed(all[n - 1], all[n - 1] == top ? level : 0)) && !among(all, n, co))
		all[n++] = co;
	if (!among(all, n, top)) /* somebody else's C function has resumed it */
		all[n++] = top;
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	int hidden = n > 2 * NESTED + 1 ? n - 2 * NESTED : 0;
	while (n-- > 0) {
		if (hidden > 0 && n == NESTED + hidden - 1) {
			char buf[64];
			snprintf(buf, sizeof buf, "\t...%d coroutines elided...\n", hidden);
			luaL_addstring(&b, buf);
			n = NESTED - 1;
		}
		lines += addlines(&b, all[n], all[n] == top ? level : 0, n == 0 && own, lines);
	}
	luaL_pushresult(&b);
	return lines;
}
