/* SPDX-License-Identifier: MIT */
#include "load/tally.h"

#include <stdbool.h>
#include <string.h>

static bool same(const struct cause *c, enum loadclass class, int err, const char *text)
{
	return c->class == (int32_t)class && c->err == err && (err != 0 || strcmp(c->text, text) == 0);
}

void tally_cause(struct causes *cs, enum loadclass class, int err, const char *text)
{
	for (uint32_t i = 0; i < cs->n; i++) {
		if (same(&cs->list[i], class, err, text)) {
			cs->list[i].n++;
			return;
		}
	}
	if (cs->n == TALLY_CAUSES) {
		cs->list[TALLY_CAUSES - 1].n++;
		return;
	}
	cs->list[cs->n++] = (struct cause){.class = (int32_t)class, .err = err, .text = text, .n = 1};
}
