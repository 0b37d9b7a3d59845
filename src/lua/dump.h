/* SPDX-License-Identifier: MIT */
/* dump.h - what a function's bytecode says about it, read from string.dump's bytes.
 *
 * LuaJIT's dump format, version 2 (lj_bcdump.h of any LuaJIT 2.1):
 *
 *   dump    ESC 'L' 'J' 2, flags, [length and bytes of the chunk's name], prototypes, 0
 *   proto   length, then: flags, parameters, frame size, upvalues (a byte each),
 *           counts of collectable constants, numbers and instructions, [size of debug
 *           info, [first line, lines]], instructions, upvalue references of two bytes
 *           each, constants, numbers, debug info
 *
 * Children come before their parent, the function itself last.  Whatever does not
 * look so makes the function one that "cannot be examined"; nothing is read
 * outside the bytes given. */
#ifndef LUAPARK_LUA_DUMP_H
#define LUAPARK_LUA_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DUMP_MAXUV = 60 }; /* LJ_MAX_UPVAL */

/* The instructions that matter.  vm_private.c holds them against lj_bc.h, and
 * code.c tries them out at start. */
enum dumpop {
	DUMP_UGET = 45,
	DUMP_USETV = 46,
	DUMP_USETP = 49, /* USETV, USETS, USETN, USETP */
	DUMP_GGET = 54,
	DUMP_GSET = 55,
	DUMP_TGETS = 57,
};

/* A reference to an upvalue: the parent's upvalue, or with UV_LOCAL its local. */
enum { DUMP_UVLOCAL = 0x8000, DUMP_UVIMMUTABLE = 0x4000 };

struct dumpname {
	uint32_t ofs, len; /* in the dump's bytes */
};

/* A place where the function, or a function inside it, reads a global or an upvalue
 * of its own, and the constant keys by which it goes on at once: `math.sqrt` is the
 * global math with the key sqrt.  Whatever is read last is used as a value. */
struct dumpuse {
	bool global;
	uint8_t uv;	/* if it is not: which upvalue of the function itself */
	uint8_t nkeys;
	uint32_t first; /* of its names: the global's if it is one, then the keys */
	uint32_t line;	/* 0: not known */
};

struct dumpinfo {
	uint32_t nuv;
	size_t header; /* its length */
	size_t body;	/* where the function's own prototype begins */
	size_t uvofs;	/* where its upvalue references are */
	size_t end;	/* where the 0 is */
	uint64_t written;   /* upvalues of the function that something assigns to, as bits */
	uint64_t read;
	bool writesglobal;
	struct dumpname gset; /* the first global that it writes, */
	uint32_t gsetline;
	struct dumpuse *use; /* each once */
	uint32_t nuse;
	struct dumpname *name;
	uint32_t nname;
};

/* Fills in *out, which dump_free is to free.  False: it cannot be examined. */
bool dump_examine(const uint8_t *bytes, size_t n, struct dumpinfo *out);
void dump_free(struct dumpinfo *d);

#endif
