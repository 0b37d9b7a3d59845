/* SPDX-License-Identifier: MIT */
/* tally.h - what one thread of a load counts: times in slots, and errors by cause.
 *
 * The slots are HdrHistogram's for 1 us to 1 hour and three digits, as in
 * lua/luapark/histslot.lua, which takes them over at the end: below 2048 us one slot a
 * microsecond, then 1024 slots for each doubling.  Owner thread only. */
#ifndef LUAPARK_LOAD_TALLY_H
#define LUAPARK_LOAD_TALLY_H

#include <stdint.h>

enum { TALLY_HALF = 1024, TALLY_SLOTS = 23 * TALLY_HALF };

#define TALLY_MOST UINT64_C(3600000000) /* us */

struct times {
	uint64_t n[TALLY_SLOTS];
};

/* The slot of a time in us; what is above an hour counts as an hour. */
static inline uint32_t tally_slot(uint64_t us)
{
	if (us < 2 * TALLY_HALF)
		return (uint32_t)us;
	if (us > TALLY_MOST)
		us = TALLY_MOST;
	uint32_t shift = 53 - (uint32_t)__builtin_clzll(us);
	return shift * TALLY_HALF + (uint32_t)(us >> shift);
}

/* The lowest time in a slot. */
static inline uint64_t tally_lowest(uint32_t slot)
{
	if (slot < 2 * TALLY_HALF)
		return slot;
	return (uint64_t)(slot % TALLY_HALF + TALLY_HALF) << (slot / TALLY_HALF - 1);
}

/* Counts a time in ns. */
static inline void tally_time(struct times *t, int64_t ns)
{
	t->n[tally_slot(ns > 0 ? (uint64_t)ns / 1000 : 0)]++;
}

/* Errors ------------------------------------------------------------------------ */

enum loadclass { LOAD_CONNECT, LOAD_READ, LOAD_WRITE, LOAD_STATUS, LOAD_TIMEOUT, LOAD_CLASSES };

/* One cause: an errno, or words that live for ever. */
struct cause {
	int32_t class; /* enum loadclass */
	int32_t err;   /* 0: it is told by text */
	const char *text;
	uint64_t n;
};

enum { TALLY_CAUSES = 64 };

struct causes {
	struct cause list[TALLY_CAUSES];
	uint32_t n;
};

/* Counts one error.  The last place takes all causes that find none of their own. */
void tally_cause(struct causes *cs, enum loadclass class, int err, const char *text);

#endif
