/* SPDX-License-Identifier: MIT */
#include "park/context.h"

#include <stdlib.h>

static void ctx_free(struct obj *o)
{
	struct hctx *c = (struct hctx *)o;
	if (c->core && c->core != c)
		obj_unref(&c->core->o);
	if (c->done)
		obj_unref(&c->done->o);
	val_free(&c->cause);
	val_free(&c->duecause);
	val_free(&c->values);
	lock_term(&c->lock);
	free(c);
}

struct hctx *ctx_new(void)
{
	struct hctx *c = calloc(1, sizeof *c);
	if (c) {
		obj_init(&c->o, OBJ_CTX, ctx_free);
		lock_init(&c->lock, RANK_OBJ);
	}
	return c;
}

/* Once it is set it stays. */
static enum ctxerr err(struct hctx *core)
{
	bool over = chan_isclosed(core->done); /* the deadline ends it where nobody cancels; */
	lock(&core->lock);
	enum ctxerr e = core->err;
	if (e == CTX_LIVES && over) /* who does, says so before it closes the channel */
		e = core->err = CTX_DEADLINE;
	unlock(&core->lock);
	return e;
}

enum ctxerr ctx_err(struct hctx *c)
{
	return c->core ? err(c->core) : CTX_LIVES;
}

bool ctx_cancel(struct hctx *c, enum ctxerr why, const struct val *cause)
{
	struct hctx *core = c->core;
	if (!core || err(core) != CTX_LIVES)
		return false;
	lock(&core->lock);
	bool ours = core->err == CTX_LIVES;
	if (ours) {
		core->err = (uint8_t)why;
		core->cause = *cause;
	}
	unlock(&core->lock);
	if (ours)
		chan_close(core->done);
	return ours;
}

const struct val *ctx_cause(struct hctx *c)
{
	static const struct val none = {.tag = VAL_NIL};
	struct hctx *core = c->core;
	if (!core)
		return &none;
	return err(core) == CTX_DEADLINE && core->cause.tag == VAL_NIL ? &core->duecause : &core->cause;
}
