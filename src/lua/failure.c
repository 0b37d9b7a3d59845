/* SPDX-License-Identifier: MIT */
/* failure.c - goroutines that have failed, and what becomes of them.
 *
 * 1. Where the error is raised panic_handler writes down, in A_FAILED, what it was and
 *    where: only there is the stack to be seen.
 * 2. xpcall has returned to the bottom of the coroutine.  If there is a function of
 *    onerror's the same goroutine goes on with that (lua/luapark/onerror.lua): it is not
 *    dead yet, and may wait.
 * 3. That has said that the error is handled: the goroutine is dead, and that is all.
 *    Otherwise the error is reported, and the run ends.
 *
 * The main goroutine's error is its own affair: luapark.run raises it, and a script ends
 * with it as luajit does.  The error of a goroutine in a bubble ends that, and nothing else:
 * synctest.run raises the report, and onerror's function is not asked. */
#include "lua/panic.h"

/* What A_FAILED has of a goroutine. */
enum { F_ERROR = 1, F_TRACE, F_MESSAGE, F_ASKED, F_START, F_ARG };

static atomic_u32 nfailing; /* goroutines that A_FAILED has something of */

/* The failure on top of L is gp's. */
static void keepfailure(lua_State *L, struct lstate *ls, G *gp)
{
	host_pushanchor(L, ls, A_FAILED);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, (int)gindex(ls->pp, gp->slot));
	lua_pop(L, 1);
	gp->flags |= GF_FAILING;
	fetch_add_relaxed(&nfailing, 1);
}

void panic_gdead(struct lstate *ls, G *gp)
{
	lua_pushnil(ls->anchor); /* the key exists: this allocates nothing */
	lua_rawseti(ls->anchor, A_FAILED, (int)gindex(ls->pp, gp->slot));
	gp->flags &= (uint16_t)~GF_FAILING;
	fetch_sub_relaxed(&nfailing, 1);
}

/* Where it is raised --------------------------------------------------------- */

/* In a script as luajit has it; but luapark.run raises an object as it is. */
static int mainfailed(lua_State *L, struct lstate *ls)
{
	if (!lua_isstring(L, 1)) {
		if (!ls->script || lua_isnil(L, 1) || !luaL_callmeta(L, 1, "__tostring") || !lua_isstring(L, -1)) {
			lua_settop(L, 1);
			return 1;
		}
		lua_replace(L, 1);
	}
	lua_pushliteral(L, "\n");
	panic_pushtrace(L, hostcurg(ls), 1);
	lua_concat(L, 3);
	return 1;
}

int panic_handler(lua_State *L)
{
	struct lstate *ls = hostof(L);
	G *gp = hostcurg(ls);
	lua_settop(L, 1);
	if (gp->id == ls->mainid)
		return mainfailed(L, ls);
	if (gp->flags & GF_FAILING) { /* onerror's function has failed, too */
		panic_describe(L, ls, 1);
		return 1;
	}
	lua_createtable(L, F_ARG, 0);
	lua_pushvalue(L, 1);
	lua_rawseti(L, 2, F_ERROR);
	keepfailure(L, ls, gp);
	if (host_pushstart(L, gp)) {
		lua_rawseti(L, 2, F_ARG);
		lua_rawseti(L, 2, F_START);
	}
	lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
	lua_rawseti(L, 2, F_MESSAGE);
	panic_pushtrace(L, gp, 1);
	lua_rawseti(L, 2, F_TRACE);
	panic_pushmessage(L, 1); /* may call __tostring, which may do anything */
	lua_pushvalue(L, -1);
	lua_rawseti(L, 2, F_MESSAGE);
	return 1;
}

/* What is reported ------------------------------------------------------------ */

struct failure {
	struct lstate *ls;
	G *gp;
	lua_State *co;	   /* NULL: it does not stand at its bottom */
	int status;
	const char *why;   /* what onerror's function has done instead of answering, or NULL */
	enum { END_REPORTED, END_ASKING, END_HANDLED } end;
};

/* What A_FAILED has, as index 2 of S.  The handler may have had no memory for all of it, or may not have been
 * called at all: LuaJIT has left a word of its own on co then. */
static void pushfailure(lua_State *S, const struct failure *f)
{
	lua_State *co = f->co;
	lua_settop(S, 1);
	if (f->gp->flags & GF_FAILING) {
		host_pushanchor(S, f->ls, A_FAILED);
		lua_rawgeti(S, 2, (int)gindex(f->ls->pp, f->gp->slot));
		lua_remove(S, 2);
		lua_rawgeti(S, 2, F_TRACE);
		bool whole = lua_isstring(S, -1);
		lua_settop(S, 2);
		if (whole || !co)
			return;
	} else {
		lua_createtable(S, F_ASKED, 0);
		keepfailure(S, f->ls, f->gp);
		lua_pushvalue(co, -1);
		lua_xmove(co, S, 1);
		lua_rawseti(S, 2, F_ERROR);
	}
	lua_pushvalue(co, -1);
	lua_xmove(co, S, 1);
	if (!lua_isstring(S, -1)) {
		lua_pop(S, 1);
		lua_pushliteral(S, "error in error handling");
	}
	lua_rawseti(S, 2, F_MESSAGE);
	host_pushcreatedby(S, f->gp); /* all that is known of where */
	panic_chop(S);
	lua_rawseti(S, 2, F_TRACE);
}

static bool isasked(lua_State *S)
{
	lua_rawgeti(S, 2, F_ASKED);
	bool asked = lua_toboolean(S, -1);
	lua_pop(S, 1);
	return asked;
}

static void addfield(luaL_Buffer *b, int field)
{
	lua_rawgeti(b->L, 2, field);
	if (lua_isstring(b->L, -1)) {
		luaL_addvalue(b);
		luaL_addchar(b, '\n');
	} else {
		lua_pop(b->L, 1);
	}
}

/* Makes the report and keeps it.  The failure is at 2; at 3, if there is that, what onerror's
 * function has failed with. */
static void makereport(lua_State *S, const struct failure *f)
{
	bool more = lua_gettop(S) > 2;
	luaL_Buffer b;
	luaL_buffinit(S, &b);
	lua_pushfstring(S, "goroutine %f [running]:\n", (lua_Number)f->gp->id);
	luaL_addvalue(&b);
	addfield(&b, F_MESSAGE);
	addfield(&b, F_TRACE);
	if (f->why) {
		luaL_addstring(&b, "\nluapark.onerror: the function ");
		luaL_addstring(&b, f->why);
		if (more) {
			lua_pushvalue(S, 3);
			luaL_addvalue(&b);
		}
		luaL_addchar(&b, '\n');
	}
	luaL_pushresult(&b);
	size_t len;
	const char *s = lua_tolstring(S, -1, &len);
	if (f->gp->flags & GF_BUBBLE)
		bubble_fail(f->gp->inbubble->b, s, len);
	else
		panic_keep(s, len);
}

static int reportfailure(lua_State *S)
{
	struct failure *f = lua_touserdata(S, 1);
	pushfailure(S, f);
	if (!isasked(S))
		f->why = NULL;
	makereport(S, f);
	return 0;
}

/* What becomes of it ------------------------------------------------------------- */

/* The bottom of co: what xpcall gave for gp's function, and then for onerror's. */
enum { FIRST = B_COUNT + 1, SECOND };

/* co is to call A_ONFAILED(g, error, traceback, message, what the goroutine was started with, and
 * its first argument), under xpcall as before. */
static void ask(lua_State *S, const struct failure *f)
{
	lua_State *co = f->co;
	lua_pushboolean(S, 1);
	lua_rawseti(S, 2, F_ASKED);
	host_pushanchor(S, f->ls, A_ONFAILED);
	host_pushg(S, f->ls, f->gp);
	lua_rawgeti(S, 2, F_ERROR);
	lua_rawgeti(S, 2, F_TRACE);
	lua_rawgeti(S, 2, F_MESSAGE);
	lua_rawgeti(S, 2, F_START);
	lua_rawgeti(S, 2, F_ARG);
	lua_settop(co, FIRST);
	if (!lua_checkstack(co, LUA_MINSTACK))
		luaL_error(S, "not enough memory");
	host_begincall(co);
	lua_xmove(S, co, 7);
	host_endcall(f->gp, co, 6);
	gsetdaemon(f->gp, false); /* the program waits for what becomes of it */
}

static int settle(lua_State *S)
{
	struct failure *f = lua_touserdata(S, 1);
	lua_State *co = f->co;
	pushfailure(S, f);
	if (!isasked(S)) {
		if (f->status == 0 && !(f->gp->flags & GF_BUBBLE) && onerror_isset()) {
			ask(S, f);
			f->end = END_ASKING;
			return 0;
		}
	} else if (f->status == 0 && lua_toboolean(co, SECOND) && lua_toboolean(co, SECOND + 1)) {
		f->end = END_HANDLED;
		return 0;
	} else if (lua_isstring(co, -1)) {
		lua_pushvalue(co, -1);
		lua_xmove(co, S, 1);
		f->why = lua_toboolean(co, SECOND) ? "" : "failed, too:\n"; /* onerror.lua says how */
	}
	makereport(S, f);
	return 0;
}

bool panic_failed(struct lstate *ls, G *gp, lua_State *co, int status)
{
	struct failure f = {.ls = ls, .gp = gp, .co = co, .status = status};
	gp->flags |= GF_NOREUSE;
	if (lp_unlikely(gp->flags & GF_BUBBLE)) {
		if (!bubble_isover(gp) && !host_protected(ls, settle, &f)) {
			lua_settop(ls->service, 0);
			bubble_fail(gp->inbubble->b, "not enough memory", 17);
		}
		return false;
	}
	if (gp->id == ls->mainid) {
		lua_settop(ls->results, 0);
		lua_xmove(co, ls->results, 1);
		ls->mainend = MAIN_FAILED;
	} else if (!host_protected(ls, settle, &f)) {
		lua_settop(ls->service, 0);
		panic_keepplain(gp);
	}
	if (f.end == END_REPORTED)
		schedstop("uncaught error");
	return f.end == END_ASKING;
}

void panic_goexit(struct lstate *ls, G *gp)
{
	struct failure f = {.ls = ls, .gp = gp, .why = "has called goexit"};
	if (!(gp->flags & GF_FAILING))
		return;
	if (!host_protected(ls, reportfailure, &f)) {
		lua_settop(ls->service, 0);
		panic_keepplain(gp);
	}
	if (!(gp->flags & GF_BUBBLE))
		schedstop("uncaught error");
}

bool panic_unanswered(void)
{
	bool any = false;
	if (load_relaxed(&nfailing) == 0) /* there may be millions to look at */
		return false;
	for (G *gp = gnext(0); gp; gp = gnext(gp->slot + 1)) {
		struct failure f = {.gp = gp, .why = "has not returned"};
		if (!(gp->flags & GF_FAILING))
			continue;
		f.ls = gp->p->lua;
		if (!host_protected(f.ls, reportfailure, &f)) {
			lua_settop(f.ls->service, 0);
			panic_keepplain(gp);
		}
		any = true;
	}
	return any;
}

