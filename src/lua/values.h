/* SPDX-License-Identifier: MIT */
/* values.h - a state's part in values that cross between states.
 *
 * Inside: known.c, code.c, portable.c, encode.c and decode.c.  All of it belongs to
 * the state and is touched by whoever holds its P; only struct code and struct msg
 * are seen by other threads.
 *
 * What Lua must keep alive lies on the stack of a coroutine that never runs: */
#ifndef LUAPARK_LUA_VALUES_H
#define LUAPARK_LUA_VALUES_H

#include "base/buf.h"
#include "base/ptrmap.h"
#include "lua/host.h"

enum {
	V_OBJECT = 1, /* known object's index -> the object */
	V_NAME,	      /* its name -> its index */
	V_SNAP,	      /* its index -> a copy of the table, for tables that are watched */
	V_OURS,	      /* functions of Luapark in the place of Lua's: function -> true */
	V_PROTO,      /* prototype's index -> a closure that keeps it alive */
	V_MAKER,      /* code's id and marks -> its maker */
	V_CLOSURE,    /* message's bytes -> the closure made of them; weak */
	V_RECENT,     /* the closures made last, so that V_CLOSURE keeps them a while */
	V_ENV,	      /* environments of copied functions -> true; weak */
	V_WORK,	      /* portable.c: functions to look at */
	V_CDATA,      /* function(cdata) -> 1 for an int64_t, 2 for an uint64_t; if there is ffi */
	V_NEWCDATA,   /* function(1 | 2) -> an int64_t or uint64_t */
	V_CONSTANT,   /* function() -> a function with an upvalue marked immutable, */
	V_VARIABLE,   /* and one with one that is not */
	V_COUNT = V_VARIABLE
};

struct snapshot;
struct code;
struct encoder;

struct known {
	char *name;	    /* "math.sqrt" */
	const char *global; /* the global that it is in every state, or NULL */
	const void *ptr;
	uint16_t flags;	    /* enum knownflag */
	uint8_t type;	    /* LUA_T... */
	uint32_t verdict;   /* the last round in which its table was found unchanged */
	struct snapshot *snap; /* what its table holds; NULL: it is not watched */
};

struct values {
	lua_State *V;
	bool seeded; /* math.randomseed was called */

	/* known.c */
	struct known *known;
	uint32_t nknown, capknown;
	struct ptrmap byptr;  /* object -> index + 1 */
	uint32_t string;      /* index + 1 of the table string */
	/* Nothing of the user's runs during a round, so what was found unchanged
	 * stays so; see values_round. */
	uint32_t round;
	uint32_t basesame; /* the last round in which base types' metatables were */
	bool inround;

	/* code.c */
	struct ptrmap byproto; /* prototype -> index + 1 in code */
	struct code **code;
	uint32_t ncode, capcode;
	uint32_t nmaker;
	struct buf dump;

	/* portable.c */
	struct ptrmap seen;
	struct workitem *work;
	uint32_t nwork, capwork;

	/* encode.c */
	struct encoder *spare;
	/* decode.c */
	uint32_t recent;
};

/* Pushes what the state keeps in slot v of the enum above. */
static inline void values_push(lua_State *L, const struct values *v, int slot)
{
	lua_pushvalue(v->V, slot);
	lua_xmove(v->V, L, 1);
}

/* A memory error. */
_Noreturn void values_nomem(lua_State *L);
/* p; or a memory error if it is NULL. */
void *values_need(lua_State *L, void *p) __attribute__((returns_nonnull));

/* In a round, from values_round(v, true) to values_round(v, false), standard tables
 * are looked at once: for who checks many functions at a time.  No Lua code runs. */
void values_round(struct values *v, bool on);
/* A round of its own, unless in one: each function of ours that looks begins with it. */
void values_call(struct values *v);

/* Makes the state's struct; before any of the rest.  Any error is Lua's. */
void values_init(lua_State *L, struct lstate *ls);
/* Gives back what is not Lua's.  The state does nothing afterwards. */
void values_term(struct lstate *ls);

/* Each part's own end. */
void known_term(struct values *v);
void code_term(struct values *v);
void portable_term(struct values *v);
void encode_term(struct values *v);

#endif
