/* SPDX-License-Identifier: MIT */
/* main.h - the parts of the executable: command line, interactive mode, signals. */
#ifndef LUAPARK_MAIN_H
#define LUAPARK_MAIN_H

#include <lua.h>

/* Prints the error on top, if status is not 0, and pops it.  Returns status. */
int report(lua_State *L, int status);

/* Runs the chunk and n arguments on top as the main goroutine.  Returns the exit
 * status that this ends with, 0 to go on. */
int domain(lua_State *L, int n);

/* Reads and runs lines until the end of the input.  Returns an exit status. */
int repl(lua_State *L);

/* SIGINT stops the program in order, SIGQUIT with a report of all goroutines, and
 * a C stack that overflows says so. */
void signals_init(void);

/* Before the process ends: if it ends by SIGINT, its parent shall see that. */
void signals_exit(void);

#endif
