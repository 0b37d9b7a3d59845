/* SPDX-License-Identifier: MIT */
#include "park/sudog.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/os.h"

enum { MAX = 1 << 30, MIN = 1 << 20, CHUNK = 64 };

/* Between the arrays, so that the same index has different low address bits in
 * each: at equal ones a load waits for unrelated stores (4 KB aliasing, which made
 * ping-pong half as slow again). */
enum { STAGGER = 176 };

struct sudogs sudogs;
static uint32_t perp;  /* each P's range */
static uint32_t *used; /* by P: how many of its range exist */

_Static_assert(offsetof(struct P, view) == 0, "rt.lua casts a P to its view");

void sudogs_init(void)
{
	int32_t **const arrays[] = {&sudogs.next, &sudogs.prev, &sudogs.g, &sudogs.own, &sudogs.index, NULL};
	enum { N = sizeof arrays / sizeof *arrays };
	const size_t each = N * sizeof(int32_t) + sizeof(struct val);
	char *all = NULL;
	size_t max = MAX;
	for (; !(all = os_reserverw(each * (max + (size_t)STAGGER * 4))); max /= 2)
		if (max <= MIN)
			throw("no address space for the table of waiters");
	sudogs.val = (struct val *)all;
	all += sizeof(struct val) * (max + STAGGER);
	for (size_t i = 0; i < N; i++, all += sizeof(int32_t) * (max + STAGGER))
		if (arrays[i])
			*arrays[i] = (int32_t *)all;
		else
			sudogs.done = (atomic_i32 *)all;
	perp = (uint32_t)(max / sched.maxprocs);
	free(used);
	used = xcalloc(sched.maxprocs, sizeof *used);
}

void sudogs_reset(void)
{
	for (uint32_t id = 0; id < sched.maxprocs; id++) {
		P *pp = load_relaxed(&sched.allp[id]);
		if (!pp)
			break;
		for (uint32_t i = 1; i <= used[id]; i++)
			val_free(&sudogs.val[(uint32_t)sudogbase(pp) + i]);
		pp->view.sudogfree = 0;
		used[id] = 0;
	}
}

int32_t sudogbase(const P *pp)
{
	return (int32_t)(pp->id * perp);
}

bool sudogrefill(P *pp)
{
	uint32_t *n = &used[pp->id];
	if (*n + CHUNK >= perp)
		return false;
	uint32_t first = (uint32_t)sudogbase(pp) + *n + 1; /* slot 0 means none */
	for (uint32_t i = first + CHUNK - 1; i >= first; i--) {
		sudogs.next[i] = (int32_t)pp->view.sudogfree;
		pp->view.sudogfree = i;
	}
	*n += CHUNK;
	return true;
}

bool sudogdecide(int32_t own, enum sudogdone how)
{
	atomic_i32 *done = &sudogs.done[own];
	int32_t was = load_relaxed(done);
	if (was == DONE_NO) { /* nobody else can see it */
		store_relaxed(done, how);
		return true;
	}
	/* What we did before is seen by the waiter through its inbox; nothing else is
	 * ordered by this. */
	return was == DONE_SHARED && cas_acqrel(done, &was, how);
}

void sudogvoid(void)
{
	for (uint32_t p = 0; p < sched.maxprocs; p++)
		for (uint32_t i = 1; i <= used[p]; i++)
			store_relaxed(&sudogs.done[p * perp + i], DONE_YES);
}

void lineput(int32_t *line, int32_t s)
{
	int32_t first = *line;
	if (first == 0) {
		sudogs.next[s] = sudogs.prev[s] = s;
		*line = s;
		return;
	}
	int32_t last = sudogs.prev[first];
	sudogs.next[s] = first;
	sudogs.prev[s] = last;
	sudogs.next[last] = s;
	sudogs.prev[first] = s;
}

void lineleave(int32_t *line, int32_t s)
{
	int32_t after = sudogs.next[s], before = sudogs.prev[s];
	if (before == 0)
		return;
	if (after == s) {
		*line = 0;
	} else {
		sudogs.prev[after] = before;
		sudogs.next[before] = after;
		if (*line == s)
			*line = after;
	}
	sudogs.prev[s] = 0;
}

int32_t lineget(int32_t *line)
{
	int32_t s;
	while ((s = *line) != 0) {
		lineleave(line, s);
		if (sudogdecide(sudogs.own[s], DONE_VAL))
			break;
	}
	return s;
}

static bool isopen(int32_t own)
{
	int32_t done = load_relaxed(&sudogs.done[own]);
	return done == DONE_NO || done == DONE_SHARED;
}

int32_t linefirst(int32_t *line)
{
	int32_t s;
	while ((s = *line) != 0 && !isopen(sudogs.own[s]))
		lineleave(line, s);
	return s;
}

int32_t linerouse(int32_t *line)
{
	int32_t s;
	while ((s = *line) != 0) {
		if (load_relaxed(&sudogs.done[sudogs.own[s]]) == DONE_WOKEN)
			return 0;
		if (sudogdecide(sudogs.own[s], DONE_WOKEN))
			break;
		lineleave(line, s);
	}
	return s;
}

int32_t linetakeall(int32_t *line)
{
	int32_t first = 0, last = 0, s;
	while ((s = lineget(line)) != 0) {
		sudogs.next[s] = 0;
		if (last)
			sudogs.next[last] = s;
		else
			first = s;
		last = s;
	}
	return first;
}

void sudogreadyall(int32_t s, int32_t code)
{
	while (s) {
		int32_t next = sudogs.next[s]; /* who runs frees its sudog */
		sudogready(s, code);
		s = next;
	}
}

bool linewaits(int32_t line)
{
	int32_t s = line;
	if (s == 0)
		return false;
	do {
		if (isopen(sudogs.own[s]))
			return true;
		s = sudogs.next[s];
	} while (s != line);
	return false;
}

void sudogready(int32_t s, int32_t code)
{
	int32_t index = sudogs.index[s];
	G *gp = &sched.gs[sudogs.g[s]];
	goready(gp, index == 0 ? code : code > 0 ? index : -index);
}
