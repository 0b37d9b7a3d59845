/* SPDX-License-Identifier: MIT */
/* ptrmap.c - see ptrmap.h. */
#include "base/ptrmap.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST = 32, KEEP = 1024 };

static struct ptrslot *find(const struct ptrmap *m, const void *key)
{
	/* Multiplied by the golden ratio: the low bits of addresses say little. */
	uint64_t h = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u;
	uint32_t i = (uint32_t)(h >> 32) & (m->nslots - 1);
	while (m->slot[i].key && m->slot[i].key != key)
		i = (i + 1) & (m->nslots - 1);
	return &m->slot[i];
}

uint32_t *ptrmap_get(const struct ptrmap *m, const void *key)
{
	if (m->n == 0)
		return NULL;
	struct ptrslot *s = find(m, key);
	return s->key ? &s->val : NULL;
}

static bool grow(struct ptrmap *m)
{
	struct ptrmap to = {NULL, m->nslots ? m->nslots * 2 : FIRST, m->n};
	to.slot = to.nslots ? calloc(to.nslots, sizeof *to.slot) : NULL;
	if (!to.slot)
		return false;
	for (uint32_t i = 0; i < m->nslots; i++)
		if (m->slot[i].key)
			*find(&to, m->slot[i].key) = m->slot[i];
	free(m->slot);
	*m = to;
	return true;
}

uint32_t *ptrmap_put(struct ptrmap *m, const void *key, bool *isnew)
{
	if (m->n >= m->nslots / 2 && !grow(m))
		return NULL;
	struct ptrslot *s = find(m, key);
	*isnew = !s->key;
	if (*isnew) {
		s->key = key;
		s->val = 0;
		m->n++;
	}
	return &s->val;
}

void ptrmap_clear(struct ptrmap *m)
{
	if (m->n == 0)
		return;
	if (m->nslots > KEEP) {
		ptrmap_free(m);
		return;
	}
	memset(m->slot, 0, m->nslots * sizeof *m->slot);
	m->n = 0;
}

void ptrmap_free(struct ptrmap *m)
{
	free(m->slot);
	*m = (struct ptrmap){NULL, 0, 0};
}
