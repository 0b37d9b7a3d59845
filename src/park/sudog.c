/* SPDX-License-Identifier: MIT */
#include "park/sudog.h"

#include <stddef.h>

#include "base/os.h"

enum { MAX = 1 << 25, MIN = 1 << 16, CHUNK = 64 };

static struct sudog *table;
static uint32_t len = 1, max; /* slot 0 means none */

_Static_assert(sizeof(struct sudog) == 24, "rt.lua describes the same struct");
_Static_assert(offsetof(struct P, view) == 0, "rt.lua casts a P to its view");

struct sudog *sudogtable(void)
{
	for (uint32_t n = MAX; !table; n /= 2) {
		if (n < MIN)
			throw("no address space for the table of waiters");
		table = os_reserverw((size_t)n * sizeof *table);
		max = n;
	}
	return table;
}

bool sudogrefill(P *pp)
{
	if (max - len < CHUNK)
		return false;
	for (uint32_t i = len + CHUNK - 1; i >= len; i--) {
		table[i].next = pp->view.sudogfree;
		pp->view.sudogfree = i;
	}
	len += CHUNK;
	return true;
}

void sudogdone(const G *gp)
{
	if (gp->sel)
		table[gp->sel].done = 1;
}
