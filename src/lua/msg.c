/* SPDX-License-Identifier: MIT */
/* msg.c - messages as such. */
#include "lua/msg.h"

#include "base/os.h"

static atomic_u32 live;

uint32_t msg_count(void)
{
	return load_relaxed(&live);
}

struct msg *msg_new(uint32_t nrefs, size_t nbytes)
{
	struct msg *m = malloc(sizeof *m + nrefs * sizeof m->refs[0] + nbytes);
	if (!m)
		return NULL;
	*m = (struct msg){.holders = 1, .nbytes = nbytes, .nrefs = nrefs, .bytes = (uint8_t *)&m->refs[nrefs]};
	fetch_add_relaxed(&live, 1);
	return m;
}

void msgref_drop(struct msgref *r)
{
	switch ((enum refkind)r->kind) {
	case REF_OBJ:
		if (r->obj)
			obj_unref(r->obj);
		break;
	case REF_CODE:
		code_unref(r->code);
		break;
	case REF_LIGHT:
		break;
	case REF_BLOB:
	case REF_MODULE:
	case REF_PATH:
		free(r->bytes);
		break;
	}
}

void msg_ref(struct msg *m)
{
	fetch_add_relaxed(&m->holders, 1);
}

void msg_free(struct msg *m)
{
	/* As in val_free. */
	if (!m || (load_acquire(&m->holders) != 1 && fetch_sub_acqrel(&m->holders, 1) != 1))
		return;
	for (uint32_t i = 0; i < m->nrefs; i++)
		msgref_drop(&m->refs[i]);
	free(m);
	fetch_sub_acqrel(&live, 1);
}

const uint8_t *msg_bytes(const struct msg *m, size_t *n)
{
	*n = m->nbytes;
	return m->bytes;
}

struct msg *msg_like(const struct msg *like, const uint8_t *bytes, size_t n)
{
	struct msg *m = msg_new(like->nrefs, n);
	if (!m)
		return NULL;
	memcpy(m->bytes, bytes, n);
	m->keylen = like->keylen <= n ? like->keylen : 0;
	m->keyrefs = like->keyrefs;
	for (uint32_t i = 0; i < m->nrefs; i++) {
		struct msgref r = like->refs[i];
		if (r.kind == REF_OBJ) {
			obj_ref(r.obj);
		} else if (r.kind == REF_CODE) {
			code_ref(r.code);
		} else if (r.kind != REF_LIGHT) {
			r.bytes = xmalloc(r.len + 1);
			memcpy(r.bytes, like->refs[i].bytes, r.len);
		}
		m->refs[i] = r;
	}
	return m;
}
