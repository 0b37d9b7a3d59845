/* SPDX-License-Identifier: MIT */
#include "park/sudog.h"

#include <stddef.h>

#include "base/os.h"

enum { MAX = 1 << 25, MIN = 1 << 16, CHUNK = 64 };

/* Between the arrays, so that the same index has different low address bits in
 * each: at equal ones a load waits for unrelated stores (4 KB aliasing, which made
 * ping-pong half as slow again). */
enum { STAGGER = 176 };

struct sudogs sudogs;
static uint32_t len = 1, max; /* slot 0 means none */

_Static_assert(offsetof(struct P, view) == 0, "rt.lua casts a P to its view");

void sudogs_init(void)
{
	int32_t **const arrays[] = {&sudogs.next, &sudogs.prev,	 &sudogs.g,
				    &sudogs.own,  &sudogs.index, &sudogs.done};
	enum { N = sizeof arrays / sizeof *arrays };
	int32_t *all = NULL;
	for (max = MAX; !(all = os_reserverw(sizeof *all * N * (max + STAGGER))); max /= 2)
		if (max <= MIN)
			throw("no address space for the table of waiters");
	for (size_t i = 0; i < N; i++)
		*arrays[i] = all + i * (max + STAGGER);
}

bool sudogrefill(P *pp)
{
	if (max - len < CHUNK)
		return false;
	for (uint32_t i = len + CHUNK - 1; i >= len; i--) {
		sudogs.next[i] = (int32_t)pp->view.sudogfree;
		pp->view.sudogfree = i;
	}
	len += CHUNK;
	return true;
}

void sudogdone(const G *gp)
{
	if (gp->sel)
		sudogs.done[gp->sel] = 1;
}
