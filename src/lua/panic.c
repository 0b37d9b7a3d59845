/* SPDX-License-Identifier: MIT */
/* panic.c - errors that nobody caught, in words.
 *
 * Of all reports in a run the first one is kept, from whatever P it comes; the host's run
 * takes it. */
#include "lua/panic.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct lock paniclock = LOCK_INIT(RANK_PANIC);
static char *report;
static size_t reportlen;
static char plainreport[512]; /* where there is no memory for a better one */

void panic_pushmessage(lua_State *L, int idx)
{
	const char *type = luaL_typename(L, idx);
	if (lua_isstring(L, idx)) {
		lua_pushvalue(L, idx);
		lua_tostring(L, -1); /* it may be a number */
		return;
	}
	if (!luaL_getmetafield(L, idx, "__tostring")) {
		lua_pushfstring(L, "(error object is a %s value)", type);
		return;
	}
	lua_pushvalue(L, idx);
	int status = lua_pcall(L, 1, 1, 0);
	bool words = lua_isstring(L, -1);
	if (status == 0 && words) {
		lua_tostring(L, -1);
	} else if (status != 0 && words) {
		lua_pushfstring(L, "(error object is a %s value, and its __tostring failed: ", type);
		lua_insert(L, -2);
		lua_pushliteral(L, ")");
		lua_concat(L, 3);
	} else {
		lua_pop(L, 1);
		lua_pushfstring(L, "(error object is a %s value)", type);
	}
}

void panic_chop(lua_State *L)
{
	size_t len;
	const char *s = lua_tolstring(L, -1, &len);
	lua_pushlstring(L, s, len > 0 ? len - 1 : 0);
	lua_remove(L, -2);
}

void panic_pushtrace(lua_State *L, const G *gp, int level)
{
	lua_pushliteral(L, "stack traceback:\n");
	host_pushframes(L, gp->L, L, level, true);
	host_pushcreatedby(L, gp);
	lua_concat(L, 3);
	panic_chop(L);
}

void panic_describe(lua_State *L, struct lstate *ls, int idx)
{
	panic_pushmessage(L, idx);
	lua_pushliteral(L, "\n");
	panic_pushtrace(L, hostcurg(ls), 1);
	lua_concat(L, 3);
}

void panic_keep(const char *text, size_t len)
{
	lock(&paniclock);
	if (!report) {
		report = text == plainreport ? plainreport : malloc(len);
		if (!report) { /* as much of it as there is room for */
			report = plainreport;
			len = len < sizeof plainreport ? len : sizeof plainreport;
		}
		reportlen = len;
		memmove(report, text, len);
	}
	unlock(&paniclock);
}

void panic_keepplain(const G *gp)
{
	const char *who = site_creator(gp->site);
	lock(&paniclock);
	bool first = !report;
	if (first)
		snprintf(plainreport, sizeof plainreport,
			 "goroutine %llu [running]:\nnot enough memory\ncreated by %s in goroutine %llu\n",
			 (unsigned long long)gp->id, who ? who : "?", (unsigned long long)gp->parent);
	unlock(&paniclock);
	if (first)
		panic_keep(plainreport, strlen(plainreport));
}

void panic_forget(void)
{
	if (report != plainreport)
		free(report);
	report = NULL;
}

void panic_take(lua_State *L)
{
	lua_pushlstring(L, report, reportlen);
	panic_forget();
}

void panic_print(void)
{
	fflush(stdout);
	fwrite(report, 1, reportlen, stderr);
	panic_forget();
}

/* In a script: what there is to say, and the status that m0 would have ended with. */
void panic_abandon(void)
{
	uint32_t sig = load_relaxed(&sched.signal);
	fflush(NULL);
	if (report) /* kept before the stop, and not taken */
		panic_print();
	if (sig == SIGINT) {
		fputs("luapark: interrupted!\n", stderr);
		signal(SIGINT, SIG_DFL);
		raise(SIGINT);
	}
	_exit(2);
}
