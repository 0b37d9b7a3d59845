/* SPDX-License-Identifier: MIT */
/* panic.h - errors that nobody caught, and what is done about them. */
#ifndef LUAPARK_LUA_PANIC_H
#define LUAPARK_LUA_PANIC_H

#include "lua/host.h"

/* failure.c */

/* What an error of a G's function is given to where it is raised. */
int panic_handler(lua_State *L);
/* gp's function, or onerror's, has failed: xpcall has returned to the bottom of co, or, if
 * status is not 0, not even that.  True: co goes on, with gp->nval values to be resumed
 * with.  On gp's C stack. */
bool panic_failed(struct lstate *ls, G *gp, lua_State *co, int status);
/* gp ends by goexit, and may have failed before.  On gp's C stack. */
void panic_goexit(struct lstate *ls, G *gp);
/* gp, which has failed, is dead: what was known of it is forgotten. */
void panic_gdead(struct lstate *ls, G *gp);
/* The run is over; a goroutine that has failed may yet be waiting for onerror's function,
 * which makes its error one that nobody has handled.  The world is stopped. */
bool panic_unanswered(void);

/* panic.c */

/* Pushes the error at idx in words, whatever it is. */
void panic_pushmessage(lua_State *L, int idx);
/* Pushes the traceback of the running goroutine from `level` on, and who created it. */
void panic_pushtrace(lua_State *L, const G *gp, int level);
/* Takes the newline off the text on top. */
void panic_chop(lua_State *L);
/* For the handler of an xpcall: pushes the error at idx in words, and a traceback. */
void panic_describe(lua_State *L, struct lstate *ls, int idx);

/* Keeps the report, if it is the first. */
void panic_keep(const char *text, size_t len);
/* The same of gp where nothing can be allocated. */
void panic_keepplain(const G *gp);
/* Pushes the report that was kept; or prints it, which takes no memory of Lua's. */
void panic_take(lua_State *L);
void panic_print(void);
void panic_forget(void);
/* The scheduler's abandon. */
__attribute__((noreturn)) void panic_abandon(void);

/* onerror.c */

void onerror_open(lua_State *L, struct lstate *ls);
/* Whether there is somebody to ask. */
bool onerror_isset(void);

#endif
