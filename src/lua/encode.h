/* SPDX-License-Identifier: MIT */
/* encode.h - an encoder at work: shared by encode.c, write.c, copied.c and where.c. */
#ifndef LUAPARK_LUA_ENCODE_H
#define LUAPARK_LUA_ENCODE_H

#include "lua/msg.h"

/* An object of the message, in the order in which they were found. */
struct eobj {
	uint8_t tag;	 /* enum objtag */
	uint32_t parent; /* the object in whose content it was found first; 0: none */
	uint32_t aux;	 /* a variable: which upvalue of the function on the shelf; a global: its name */
};

struct encoder {
	struct encoder *next; /* in the state's list of spare ones */
	struct values *v;
	lua_State *L;
	struct lstate *ls;
	enum codecmode mode;
	const char *what;
	int first; /* where on L the values are */
	int n;
	int at; /* which of them is being written */

	struct shelf objects;	/* object -> the object, */
	struct shelf handles;	/* reference -> the handle that it is to be of */
	struct eobj *obj;	/* obj[i - 1] is number i */
	uint32_t nobj, capobj;
	uint32_t done;		/* whose contents are written */
	uint32_t nobj1;		/* those of the function's part */
	struct ptrmap seen;	/* object -> number; strings and variables too */
	struct ptrmap refseen;	/* what a reference is to -> its number + 1 */
	struct ptrmap gseen;	/* the name of a global that is taken along */
	struct ptrmap modules;	/* copying: what package.loaded holds */
	bool modulesread;
	struct msgref *ref;
	uint32_t nref, capref;
	struct dumpname *gname; /* names of globals, by eobj.aux, */
	uint32_t *gcode;	/* in the dump of which reference's code */
	uint32_t ngname, capgname;
	struct buf objs, body, out;
	uint8_t flags;
	bool keep;		/* the function's part may be kept */
	bool trusted;		/* inside a function that was checked with all it captures */

	/* When a value cannot be sent: why, and the last step of the way to it. */
	char why[256];
	char step[64];
};

/* Copying functions: copied.c. */

/* The table or function on top is a module's: writes it so. */
bool encode_module(struct encoder *e);
/* The content of copied function number i. */
bool encode_copied(struct encoder *e, uint32_t i);
bool encode_global(struct encoder *e, uint32_t i);
/* A reference to the module's name at idx. */
uint32_t encode_moduleref(struct encoder *e, int idx);
/* The references to the search paths. */
void encode_paths(struct encoder *e);

/* Writing: write.c. */

bool encode_fail(struct encoder *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes the value on top of L, which stays. */
bool encode_value(struct encoder *e);
/* Writes object number i: its sizes, and its content.  Leaves what it likes on L. */
bool encode_content(struct encoder *e, uint32_t i);
/* A new object, whose Lua value is taken off L. */
uint32_t encode_newobj(struct encoder *e, enum objtag tag, uint32_t aux);
/* A new reference, of which the encoder has the ownership from now on. */
uint32_t encode_newref(struct encoder *e, struct msgref r);
/* A new reference to a copy of Lua's string. */
uint32_t encode_bytesref(struct encoder *e, enum refkind kind, const char *s, size_t len);
/* The reference to code. */
uint32_t encode_coderef(struct encoder *e, struct code *c);

/* Paths: where.c. */

/* Pushes the way to what was in the content of object `at` (0: to a top value). */
void encode_where(struct encoder *e, uint32_t at);
/* Writes a key at idx as a step into e->step. */
void encode_step(struct encoder *e, int idx);

#endif
