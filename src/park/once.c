/* SPDX-License-Identifier: MIT */
#include "park/once.h"

#include <stdlib.h>

static void once_free(struct obj *o)
{
	lock_term(&((struct honce *)o)->lock);
	free(o);
}

struct honce *once_new(void)
{
	struct honce *once = calloc(1, sizeof *once);
	if (once) {
		obj_init(&once->o, OBJ_ONCE, once_free);
		lock_init(&once->lock, RANK_OBJ);
	}
	return once;
}

enum oncestate once_begin(struct honce *once, int32_t s)
{
	if (load_acquire(&once->state) == ONCE_OVER) /* pairs with once_end */
		return ONCE_OVER;
	lock(&once->lock);
	enum oncestate was = (enum oncestate)load_relaxed(&once->state);
	if (was == ONCE_NEW)
		store_relaxed(&once->state, ONCE_RUNS);
	else if (was == ONCE_RUNS && s)
		lineput(&once->line, s);
	unlock(&once->lock);
	return was;
}

void once_leave(struct honce *once, int32_t s)
{
	lock(&once->lock);
	lineleave(&once->line, s);
	unlock(&once->lock);
}

void once_end(struct honce *once)
{
	lock(&once->lock);
	store_release(&once->state, ONCE_OVER); /* pairs with once_begin */
	int32_t waiters = linetakeall(&once->line);
	unlock(&once->lock);
	sudogreadyall(waiters, 1);
}
