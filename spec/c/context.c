/* SPDX-License-Identifier: MIT */
#include "park/context.h"

#include "park/timer.h"
#include "sim.h"
#include "test.h"

/* A core with this deadline. */
static struct hctx *newcore(double when)
{
	struct hctx *c = ctx_new();
	CHECK(c);
	c->core = c;
	c->done = chan_new(0);
	c->done->o.kind = OBJ_DONE;
	c->done->when = when;
	return c;
}

static struct val number(double n)
{
	return (struct val){.tag = VAL_NUM, .u.n = n};
}

TEST(context_is_canceled_once)
{
	sim_init((struct schedops){0});
	struct hctx *c = newcore(CHAN_NEVER);
	CHECK_EQ(ctx_err(c), CTX_LIVES);
	struct val one = number(1), two = number(2);
	CHECK(ctx_cancel(c, CTX_CANCELED, &one));
	CHECK(!ctx_cancel(c, CTX_DEADLINE, &two));
	CHECK_EQ(ctx_err(c), CTX_CANCELED);
	CHECK(ctx_cause(c)->u.n == 1);
	CHECK(chan_isclosed(c->done));
	obj_unref(&c->o);
	sim_term();
}

/* Its deadline ends it, and then nobody else can. */
TEST(context_deadline)
{
	sim_init((struct schedops){0});
	struct hctx *c = newcore(1); /* a second after the machine started */
	struct val cause = number(1);
	c->duecause = number(7);
	CHECK(!ctx_cancel(c, CTX_CANCELED, &cause));
	CHECK_EQ(ctx_err(c), CTX_DEADLINE);
	CHECK(ctx_cause(c)->u.n == 7);
	obj_unref(&c->o);
	c = newcore(clocknow() + 1e6);
	CHECK_EQ(ctx_err(c), CTX_LIVES);
	CHECK(ctx_cancel(c, CTX_CANCELED, &cause));
	CHECK_EQ(ctx_err(c), CTX_CANCELED);
	obj_unref(&c->o);
	sim_term();
}

/* One that adds a value ends with its core, whichever of them is canceled; the background's never. */
TEST(context_core)
{
	sim_init((struct schedops){0});
	struct hctx *c = newcore(CHAN_NEVER), *value = ctx_new(), *root = ctx_new();
	struct val cause = number(3);
	value->core = (struct hctx *)obj_ref(&c->o);
	CHECK_EQ(ctx_err(value), CTX_LIVES);
	CHECK(ctx_cancel(value, CTX_CANCELED, &cause));
	CHECK_EQ(ctx_err(c), CTX_CANCELED);
	CHECK(ctx_cause(value)->u.n == 3);
	CHECK(!ctx_cancel(root, CTX_CANCELED, &cause));
	CHECK_EQ(ctx_err(root), CTX_LIVES);
	CHECK_EQ(ctx_cause(root)->tag, VAL_NIL);
	obj_unref(&c->o); /* value holds it */
	CHECK_EQ(ctx_err(value), CTX_CANCELED);
	obj_unref(&value->o);
	obj_unref(&root->o);
	sim_term();
}
