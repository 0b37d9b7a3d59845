/* SPDX-License-Identifier: MIT */
/* msg.h - what a message is made of: shared by encode.c and decode.c. */
#ifndef LUAPARK_LUA_MSG_H
#define LUAPARK_LUA_MSG_H

#include "lua/code.h"
#include "lua/codec.h"

/* The first byte of a value. */
enum tag {
	T_NIL,
	T_FALSE,
	T_TRUE,
	T_INT,	 /* zigzag */
	T_NUM,	 /* 8 bytes */
	T_STR,	 /* length, bytes */
	T_OBJECT, /* number of an object */
	T_SHARED, /* reference to a struct obj */
	T_LIGHT, /* reference to a light userdata */
	T_I64,	 /* 8 bytes */
	T_U64,
	T_G,	 /* slot, id */
	T_KNOWN, /* length, name */
	T_MODULE, /* reference to its name */
	T_OWN,	 /* number of what a bubble has made: in the state that wrote it (A_OWN) */
	T_SMALL = 0x40, /* and above: an integer by itself */
	T_SMALLEST = -32 /* which T_SMALL means */
};

/* The first byte of an object. */
enum objtag { O_STRING = 1, O_BLOB, O_TABLE, O_TABLEMT, O_FUNC, O_COPIED, O_VARIABLE, O_GLOBAL };

/* Flags of a message. */
enum {
	M_ENV = 1,  /* copied functions have an environment of their own */
	M_PATH = 2, /* the last two references are search paths */
};

enum refkind { REF_OBJ, REF_CODE, REF_LIGHT, REF_BLOB, REF_MODULE, REF_PATH };

struct msgref {
	uint8_t kind;
	size_t len;
	union {
		struct obj *obj;
		struct code *code;
		void *light;
		char *bytes; /* of a blob, a module's name, a path */
	};
};

struct msg {
	atomic_u32 holders; /* references to it */
	size_t nbytes;
	size_t keylen;	  /* the function's part ends here, if it may be kept; or 0 */
	uint32_t keyrefs; /* how many of the references it uses, the first ones */
	uint32_t nrefs;
	uint8_t *bytes;	  /* behind the references */
	struct msgref refs[];
};

/* A message with room for the references and bytes; NULL: out of memory. */
struct msg *msg_new(uint32_t nrefs, size_t nbytes);

/* Gives back what a reference holds. */
void msgref_drop(struct msgref *r);

enum {
	SHORT = 40,	  /* longer strings are sent once */
	BLOB = 16 * 1024, /* from here on they are not copied again in the message */
	KEYMAX = 512,	  /* the longest part of a function that is kept, with its references */
};

/* Lua values kept by number, from 1 on: the first few on the stack, where that costs
 * nothing, the others in a table, made when it is needed. */
struct shelf {
	int base; /* on the stack: SHELF places, and one for the table */
	bool table;
};
enum { SHELF = 12 };

static inline void shelf_open(lua_State *L, struct shelf *s)
{
	s->base = lua_gettop(L);
	s->table = false;
	lua_settop(L, s->base + SHELF + 1);
}

static inline void shelf_push(lua_State *L, const struct shelf *s, uint32_t i)
{
	if (i <= SHELF)
		lua_pushvalue(L, s->base + (int)i);
	else
		lua_rawgeti(L, s->base + SHELF + 1, (int)i);
}

/* Takes the value on top off. */
static inline void shelf_put(lua_State *L, struct shelf *s, uint32_t i)
{
	if (i <= SHELF) {
		lua_replace(L, s->base + (int)i);
		return;
	}
	if (!s->table) {
		lua_newtable(L);
		lua_replace(L, s->base + SHELF + 1);
		s->table = true;
	}
	lua_rawseti(L, s->base + SHELF + 1, (int)i);
}

#endif
