/* SPDX-License-Identifier: MIT */
/* lib_synctest.c - bubbles, for lua/luapark/synctest.lua.
 *
 * A bubble that has ended while some of its Gs wait has to end these.  What they wait for may
 * live on, and they may hold what others want; so they are not simply killed.  Each wait that is
 * undecided is decided now, and whoever waits goes on with the word that is given where nothing
 * may wait: it leaves the lines that it stands in, and raises an error, which unwinds it.  Who
 * catches that and wants to wait again gets it again, and is ended where it stands if that does
 * not help. */
#include "lua/host.h"
#include "park/sudog.h"

enum { PATIENCE = 100 }; /* refusals */

const char synctest_over[] = "the synctest bubble of this goroutine has ended";

void synctest_insists(lua_State *L, struct lstate *ls, G *gp, uint32_t sel)
{
	if (vm_busy(L) || gp->inbubble->refused++ < PATIENCE)
		return;
	gp->inbubble->refused = 0; /* for what is called now */
	/* The lines it stands in pass it over from now on; but if somebody has been faster there, it
	 * must be alive when the news comes. */
	if (sel && !sudogdecide((int32_t)sel, DONE_YES))
		return;
	host_pushanchor(L, ls, A_EXITING);
	lua_call(L, 0, 0);
	gp->flags |= GF_NOREUSE;
	(void)vm_savehook(L);
	goexit_stk(gp);
}

static struct bubble *checkbubble(lua_State *L, const struct lstate *ls)
{
	struct bubble *b = bubble_find(ls->pp, (int32_t)luaL_checkint(L, 1));
	if (!b)
		luaL_error(L, "no such bubble");
	return b;
}

/* bubblestart(fn, ...) -> id: a new bubble, in which a goroutine calls fn(...) soon.  The running
 * goroutine shall wait for its end (SYNCTESTRUN). */
static int l_start(lua_State *L)
{
	struct lstate *ls = hostof(L);
	int n = lua_gettop(L) - 1;
	host_pushanchor(L, ls, A_RECORDS);
	lua_insert(L, 1);
	struct callsite cs = vm_callsite(L);
	G *gp = host_newg(L, ls, n, 1, &cs);
	struct bubble *b = bubble_new(ls->pp, hostcurg(ls));
	bubble_join(b, gp);
	b->mainid = load_relaxed(&gp->id);
	lua_pushinteger(L, b->id);
	return 1;
}

/* bubblestate(id) -> "runs", "over", "deadlock" or "failed"; how many of its goroutines are left;
 * whether its first one is not; and if it has failed the report, unless that is another's affair */
static int l_state(lua_State *L)
{
	static const char *const states[] = {"runs", "over", "deadlock", "failed"};
	const struct bubble *b = checkbubble(L, hostof(L));
	lua_pushstring(L, states[b->state]);
	lua_pushinteger(L, (lua_Integer)b->ngs);
	lua_pushboolean(L, b->mainended);
	if (b->report)
		lua_pushlstring(L, b->report, b->reportlen);
	else
		lua_pushnil(L);
	return 4;
}

/* bubblestacks(id) -> what is known of its goroutines */
static int l_stacks(lua_State *L)
{
	struct lstate *ls = hostof(L);
	const struct bubble *b = checkbubble(L, ls);
	luaL_Buffer out;
	luaL_checkstack(L, LUA_MINSTACK, "tracebacks");
	luaL_buffinit(L, &out);
	const struct bubbled *in = b->gs;
	if (in)
		do {
			if (in != b->gs)
				luaL_addchar(&out, '\n');
			host_pushstack(L, ls, in->gp);
			luaL_addvalue(&out);
			in = in->next;
		} while (in != b->gs);
	luaL_pushresult(&out);
	return 1;
}

/* bubblefail(): the running goroutine's bubble ends */
static int l_fail(lua_State *L)
{
	struct bubble *b = bubble_current(hostof(L)->pp);
	if (b)
		bubble_end(b, BUBBLE_FAILED);
	return 0;
}

/* Ends the wait of gp, if nobody has decided it yet: else it will run soon. */
static void endwait(lua_State *L, G *gp)
{
	enum waitreason reason = load_relaxed(&gp->reason);
	if (reason == WR_REQUIRE) /* until the loader has ended, who may be ended, too */
		return;
	if (!lua_checkstack(gp->parkL, 2))
		luaL_error(L, "not enough memory");
	lua_pushstring(L, synctest_over);
	if ((gp->flags & GF_GOPARK) ? !gclaim(gp, load_relaxed(&gp->id))
				    : gp->sel && !sudogdecide((int32_t)gp->sel, DONE_YES)) {
		lua_pop(L, 1);
		return;
	}
	if (reason == WR_IO || reason == WR_RESOLVE) { /* as if its time were over */
		lua_pop(L, 1);
		gp->flags |= GF_TIMEOUT;
	} else {
		lua_xmove(L, gp->parkL, 1);
		gp->nval = 1;
		if (gp->flags & GF_GOPARK)
			gp->flags = (uint16_t)((gp->flags & ~(GF_GOPARK | GF_REASONTEXT)) | GF_PARKERR);
	}
	goreadylast(gp, 0);
}

/* bubblekill(id): whoever is left of it, which has ended, will end.  They run to do so. */
static int l_kill(lua_State *L)
{
	const struct bubble *b = checkbubble(L, hostof(L));
	const struct bubbled *in = b->gs;
	if (in)
		do {
			if (readgstatus(in->gp) == Gwaiting)
				endwait(L, in->gp);
			in = in->next;
		} while (in != b->gs);
	return 0;
}

/* bubblefree(id): nobody is left of it */
static int l_free(lua_State *L)
{
	struct lstate *ls = hostof(L);
	bubble_free(checkbubble(L, ls));
	if (!ls->pp->bubbles) {
		lua_newtable(L);
		host_setanchor(L, ls, A_OWN);
	}
	return 0;
}

/* bubbleawait() -> true: the running goroutine has to wait for the others of its bubble
 * (SYNCTESTWAIT); false: they are blocked; nil: another one waits for that */
static int l_await(lua_State *L)
{
	struct lstate *ls = hostof(L);
	bool taken, waits = bubble_await(hostcurg(ls), &taken);
	if (taken)
		lua_pushnil(L);
	else
		lua_pushboolean(L, waits);
	return 1;
}

/* exiting(fn): see the anchor's list in host.h */
static int l_exiting(lua_State *L)
{
	lua_settop(L, 1);
	host_setanchor(L, hostof(L), A_EXITING);
	return 0;
}

void lib_synctest_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"bubblestart", l_start}, {"bubblestate", l_state}, {"bubblestacks", l_stacks},
		{"bubblefail", l_fail},	  {"bubblekill", l_kill},   {"bubblefree", l_free},
		{"bubbleawait", l_await}, {"exiting", l_exiting},   {NULL, NULL}};
	host_register(L, ls, funcs);
}
