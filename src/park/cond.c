/* SPDX-License-Identifier: MIT */
#include "park/cond.h"

#include <stdlib.h>

static void cond_free(struct obj *o)
{
	struct hcond *c = (struct hcond *)o;
	if (c->locker)
		obj_unref(c->locker);
	lock_term(&c->lock);
	free(c);
}

struct hcond *cond_new(void)
{
	struct hcond *c = calloc(1, sizeof *c);
	if (c) {
		obj_init(&c->o, OBJ_COND, cond_free);
		lock_init(&c->lock, RANK_OBJ);
	}
	return c;
}

void cond_enlist(struct hcond *c, int32_t s)
{
	lock(&c->lock);
	lineput(&c->line, s);
	unlock(&c->lock);
}

void cond_signal(struct hcond *c)
{
	lock(&c->lock);
	int32_t s = lineget(&c->line);
	unlock(&c->lock);
	if (s)
		sudogready(s, 1);
}

void cond_wakeall(struct hcond *c)
{
	lock(&c->lock);
	int32_t waiters = linetakeall(&c->line);
	unlock(&c->lock);
	sudogreadyall(waiters, 1);
}

void cond_leave(struct hcond *c, int32_t s)
{
	lock(&c->lock);
	lineleave(&c->line, s);
	unlock(&c->lock);
}
