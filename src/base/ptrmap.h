/* SPDX-License-Identifier: MIT */
/* ptrmap.h - from a pointer to a number.
 *
 * Open addressing, at most half full; the key NULL is an empty place.  Nothing is
 * taken out but everything at once.  Belongs to whoever holds the struct: no locks. */
#ifndef LUAPARK_BASE_PTRMAP_H
#define LUAPARK_BASE_PTRMAP_H

#include <stdbool.h>
#include <stdint.h>

struct ptrmap {
	struct ptrslot {
		const void *key;
		uint32_t val;
	} *slot;
	uint32_t nslots; /* 0, or a power of two */
	uint32_t n;
};

/* The number of key, or NULL if it is not there. */
uint32_t *ptrmap_get(const struct ptrmap *m, const void *key);

/* The same; a new key gets its place, with the number 0.  NULL: out of memory. */
uint32_t *ptrmap_put(struct ptrmap *m, const void *key, bool *isnew);

/* Takes everything out.  A large map is given back to the system. */
void ptrmap_clear(struct ptrmap *m);

void ptrmap_free(struct ptrmap *m);

#endif
