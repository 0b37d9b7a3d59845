/* SPDX-License-Identifier: MIT */
#include "park/val.h"

#include <stdlib.h>

void (*val_refmsg)(struct msg *m);
void (*val_freemsg)(struct msg *m);

struct val val_ref(const struct val *v)
{
	if (v->tag == VAL_STR)
		fetch_add_relaxed(&v->u.s->refs, 1);
	else if (v->tag == VAL_MSG)
		val_refmsg(v->u.m);
	return *v;
}

void val_free(struct val *v)
{
	/* As in obj_unref; who holds the only reference need not tell anybody. */
	if (v->tag == VAL_STR && (load_acquire(&v->u.s->refs) == 1 || fetch_sub_acqrel(&v->u.s->refs, 1) == 1))
		free(v->u.s);
	else if (v->tag == VAL_MSG)
		val_freemsg(v->u.m);
	v->tag = VAL_NIL;
}
