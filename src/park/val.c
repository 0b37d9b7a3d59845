/* SPDX-License-Identifier: MIT */
#include "park/val.h"

#include <stdlib.h>

void (*val_freemsg)(struct msg *m);

void val_free(struct val *v)
{
	if (v->tag == VAL_STR)
		free(v->u.s);
	else if (v->tag == VAL_MSG)
		val_freemsg(v->u.m);
	v->tag = VAL_NIL;
}
