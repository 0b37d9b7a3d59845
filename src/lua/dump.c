/* SPDX-License-Identifier: MIT */
/* dump.c - see dump.h. */
#include "lua/dump.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { F_BE = 1, F_STRIP = 2, F_FFI = 4, F_FR2 = 8 };
enum { KGC_CHILD, KGC_TAB, KGC_I64, KGC_U64, KGC_COMPLEX, KGC_STR };
enum { KTAB_NUM = 4, KTAB_INT = 3, KTAB_STR = 5 };
enum { VARNAME_END = 0, VARNAME_MAX = 7 };
enum { MAXKEYS = 8, ALL_LOCAL = 256, NOUV = 0xff, NOPARENT = UINT32_MAX };

/* A collectable constant that instructions may name. */
struct kgc {
	bool isstr;
	struct dumpname str;
};

struct proto {
	size_t start, bc, uv, dbg; /* in the dump */
	uint32_t nuv, nkgc, nbc, ndbg, firstline, numline;
	uint32_t kgc; /* its first in all of them */
	uint32_t parent;
	uint8_t rootuv[DUMP_MAXUV]; /* upvalue -> the function's own, or NOUV */
};

struct parser {
	const uint8_t *bytes;
	struct rd rd;
	bool stripped;
	struct proto *proto;
	uint32_t nproto, capproto;
	struct kgc *kgc;
	uint32_t nkgc, capkgc;
	uint32_t *orphan; /* prototypes whose parent is still to come */
	uint32_t norphan, caporphan;
	struct dumpinfo *out;
	uint32_t capuse, capname;
};

/* Makes room for one more item in an array that has n of cap items. */
static void *room(void *array, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return array;
	uint32_t more = *cap ? *cap * 2 : 16;
	void *p = realloc(array, more * size);
	if (p)
		*cap = more;
	return p;
}

#define GROW(array, n, cap) \
	({ \
		void *grown = room((array), (n), &(cap), sizeof *(array)); \
		if (grown) \
			(array) = grown; \
		grown != NULL; \
	})

/* Parsing ------------------------------------------------------------------- */

static void skipktabk(struct parser *p)
{
	uint32_t tp = rd_varint32(&p->rd);
	if (tp >= KTAB_STR) {
		rd_bytes(&p->rd, tp - KTAB_STR);
	} else if (tp >= KTAB_INT) {
		rd_varint(&p->rd);
		if (tp == KTAB_NUM)
			rd_varint(&p->rd);
	}
}

static void skipktab(struct parser *p)
{
	uint32_t narray = rd_varint32(&p->rd), nhash = rd_varint32(&p->rd);
	for (uint32_t i = 0; i < narray && !p->rd.bad; i++)
		skipktabk(p);
	for (uint32_t i = 0; i < nhash && !p->rd.bad; i++) {
		skipktabk(p);
		skipktabk(p);
	}
}

static bool parsekgc(struct parser *p, struct proto *pt, uint32_t me)
{
	pt->kgc = p->nkgc;
	for (uint32_t i = 0; i < pt->nkgc && !p->rd.bad; i++) {
		struct kgc k = {false, {0, 0}};
		uint32_t tp = rd_varint32(&p->rd);
		if (tp >= KGC_STR) {
			const uint8_t *s = rd_bytes(&p->rd, tp - KGC_STR);
			if (!s)
				return false;
			k = (struct kgc){true, {(uint32_t)(s - p->bytes), tp - KGC_STR}};
		} else if (tp == KGC_TAB) {
			skipktab(p);
		} else if (tp == KGC_CHILD) {
			if (p->norphan == 0)
				return false;
			p->proto[p->orphan[--p->norphan]].parent = me;
		} else {
			for (int w = tp == KGC_COMPLEX ? 4 : 2; w > 0; w--)
				rd_varint(&p->rd);
		}
		if (!GROW(p->kgc, p->nkgc, p->capkgc))
			return false;
		p->kgc[p->nkgc++] = k;
	}
	return true;
}

static bool parseproto(struct parser *p)
{
	struct rd *rd = &p->rd;
	size_t start = (size_t)(rd->p - p->bytes);
	uint32_t len = rd_varint32(rd);
	if (rd->bad || len > rd_left(rd))
		return false;
	const uint8_t *end = rd->p + len;
	struct proto pt = {.start = start, .parent = NOPARENT};
	rd_bytes(rd, 3); /* flags, parameters, frame size */
	pt.nuv = rd_byte(rd);
	pt.nkgc = rd_varint32(rd);
	uint32_t nkn = rd_varint32(rd);
	pt.nbc = rd_varint32(rd);
	if (!p->stripped && (pt.ndbg = rd_varint32(rd)) > 0) {
		pt.firstline = rd_varint32(rd);
		pt.numline = rd_varint32(rd);
	}
	if (pt.nuv > DUMP_MAXUV || pt.nbc == 0 || pt.nbc > UINT32_MAX / 4)
		return false;
	const uint8_t *bc = rd_bytes(rd, (size_t)pt.nbc * 4), *uv = rd_bytes(rd, (size_t)pt.nuv * 2);
	if (!bc || !uv)
		return false;
	pt.bc = (size_t)(bc - p->bytes);
	pt.uv = (size_t)(uv - p->bytes);
	if (!parsekgc(p, &pt, p->nproto))
		return false;
	for (uint32_t i = 0; i < nkn && !rd->bad; i++)
		if (rd_left(rd) > 0 && (*rd->p & 1)) {
			rd_varint(rd);
			rd_varint(rd);
		} else {
			rd_varint(rd);
		}
	pt.dbg = (size_t)(rd->p - p->bytes);
	rd_bytes(rd, pt.ndbg);
	if (rd->bad || rd->p != end || !GROW(p->proto, p->nproto, p->capproto) ||
	    !GROW(p->orphan, p->norphan, p->caporphan))
		return false;
	p->orphan[p->norphan++] = p->nproto;
	p->proto[p->nproto++] = pt;
	return true;
}

static bool parse(struct parser *p)
{
	static const uint8_t head[] = {0x1b, 'L', 'J', 2};
	static const uint16_t one = 1;
	uint8_t little;
	memcpy(&little, &one, 1);
	const uint8_t *h = rd_bytes(&p->rd, sizeof head);
	if (!h || memcmp(h, head, sizeof head) != 0)
		return false;
	uint32_t flags = rd_varint32(&p->rd);
	if ((flags & ~(uint32_t)(F_BE | F_STRIP | F_FFI | F_FR2)) || ((flags & F_BE) != 0) == (little != 0))
		return false;
	p->stripped = flags & F_STRIP;
	if (!p->stripped)
		rd_bytes(&p->rd, rd_varint32(&p->rd));
	p->out->header = (size_t)(p->rd.p - p->bytes);
	while (!p->rd.bad && rd_left(&p->rd) > 0 && *p->rd.p != 0)
		if (!parseproto(p))
			return false;
	p->out->end = (size_t)(p->rd.p - p->bytes);
	return rd_byte(&p->rd) == 0 && !p->rd.bad && rd_left(&p->rd) == 0 && p->norphan == 1 &&
	       p->orphan[0] == p->nproto - 1;
}

/* Debug information --------------------------------------------------------- */

static uint32_t linesize(const struct proto *pt)
{
	return pt->numline < 256 ? 1 : pt->numline < 65536 ? 2 : 4;
}

static uint32_t lineof(const struct parser *p, const struct proto *pt, uint32_t i)
{
	uint32_t size = linesize(pt), line = 0;
	if (pt->ndbg / size < pt->nbc)
		return 0;
	const uint8_t *at = p->bytes + pt->dbg + (size_t)i * size;
	uint16_t h;
	switch (size) {
	case 1:
		line = *at;
		break;
	case 2:
		memcpy(&h, at, sizeof h);
		line = h;
		break;
	default:
		memcpy(&line, at, sizeof line);
		break;
	}
	return pt->firstline + line;
}

static bool skipname(struct rd *r)
{
	const uint8_t *z = memchr(r->p, 0, rd_left(r));
	if (!z)
		return false;
	r->p = z + 1;
	return true;
}

/* How many local variables are alive at instruction i; they have the lowest
 * registers.  ALL_LOCAL where that is not known. */
static uint32_t nlocals(const struct parser *p, const struct proto *pt, uint32_t i)
{
	const uint8_t *dbg = p->bytes + pt->dbg;
	uint64_t lines = (uint64_t)pt->nbc * linesize(pt);
	if (lines >= pt->ndbg)
		return ALL_LOCAL;
	struct rd r = {dbg + lines, dbg + pt->ndbg, false};
	for (uint32_t u = 0; u < pt->nuv; u++)
		if (!skipname(&r))
			return ALL_LOCAL;
	uint64_t pc = (uint64_t)i + 1, from = 0; /* the function's header counts */
	for (uint32_t n = 0;;) {
		uint8_t kind = rd_left(&r) > 0 ? *r.p : VARNAME_END;
		if (kind == VARNAME_END)
			return n;
		if (kind < VARNAME_MAX)
			r.p++;
		else if (!skipname(&r))
			return ALL_LOCAL;
		from += rd_varint(&r);
		uint64_t len = rd_varint(&r);
		if (r.bad)
			return ALL_LOCAL;
		if (from > pc)
			return n;
		if (pc < from + len)
			n++;
	}
}

/* Instructions -------------------------------------------------------------- */

struct ins {
	uint8_t op, a, b, c;
	uint16_t d;
};

static struct ins ins(const struct parser *p, const struct proto *pt, uint32_t i)
{
	uint32_t w;
	memcpy(&w, p->bytes + pt->bc + (size_t)i * 4, sizeof w);
	return (struct ins){(uint8_t)w, (uint8_t)(w >> 8), (uint8_t)(w >> 24), (uint8_t)(w >> 16), (uint16_t)(w >> 16)};
}

/* The string constant that an instruction's operand names; they are written last first. */
static bool kstr(const struct parser *p, const struct proto *pt, uint32_t operand, struct dumpname *out)
{
	if (operand >= pt->nkgc)
		return false;
	const struct kgc *k = &p->kgc[pt->kgc + pt->nkgc - 1 - operand];
	*out = k->str;
	return k->isstr;
}

static bool samename(const struct parser *p, struct dumpname a, struct dumpname b)
{
	return a.len == b.len && memcmp(p->bytes + a.ofs, p->bytes + b.ofs, a.len) == 0;
}

static bool sameuse(const struct parser *p, const struct dumpuse *a, const struct dumpuse *b)
{
	if (a->global != b->global || a->uv != b->uv || a->nkeys != b->nkeys)
		return false;
	uint32_t n = a->nkeys + a->global;
	for (uint32_t i = 0; i < n; i++)
		if (!samename(p, p->out->name[a->first + i], p->out->name[b->first + i]))
			return false;
	return true;
}

/* Adds it unless it is there; its names are the last ones of all. */
static bool adduse(struct parser *p, struct dumpuse use)
{
	struct dumpinfo *out = p->out;
	uint32_t look = out->nuse < 256 ? 0 : out->nuse - 256;
	for (uint32_t i = look; i < out->nuse; i++)
		if (sameuse(p, &out->use[i], &use)) {
			out->nname = use.first;
			return true;
		}
	if (!GROW(out->use, out->nuse, p->capuse))
		return false;
	out->use[out->nuse++] = use;
	return true;
}

static bool addname(struct parser *p, struct dumpname name)
{
	if (!GROW(p->out->name, p->out->nname, p->capname))
		return false;
	p->out->name[p->out->nname++] = name;
	return true;
}

/* Something was loaded into register a by instruction i.  Follows it through the
 * constant keys that index it at once: as long as each load's register is gone
 * afterwards, overwritten or a temporary, for which an index is the last use. */
static bool follow(struct parser *p, const struct proto *pt, uint32_t i, struct dumpuse use)
{
	uint8_t reg = ins(p, pt, i).a;
	use.line = lineof(p, pt, i);
	while (i + 1 < pt->nbc && use.nkeys < MAXKEYS) {
		struct ins next = ins(p, pt, i + 1);
		struct dumpname key;
		if (next.op != DUMP_TGETS || next.b != reg || !kstr(p, pt, next.c, &key))
			break;
		if (next.a != reg && reg < nlocals(p, pt, i + 1))
			break;
		if (!addname(p, key))
			return false;
		use.nkeys++;
		reg = next.a;
		i++;
	}
	return adduse(p, use);
}

static bool look(struct parser *p, const struct proto *pt)
{
	struct dumpinfo *out = p->out;
	for (uint32_t i = 0; i < pt->nbc; i++) {
		struct ins in = ins(p, pt, i);
		struct dumpuse use = {.first = out->nname};
		struct dumpname name;
		if (in.op == DUMP_GGET) {
			use.global = true;
			if (!kstr(p, pt, in.d, &name) || !addname(p, name) || !follow(p, pt, i, use))
				return false;
		} else if (in.op == DUMP_GSET) {
			if (!kstr(p, pt, in.d, &name))
				return false;
			if (!out->writesglobal) {
				out->writesglobal = true;
				out->gset = name;
				out->gsetline = lineof(p, pt, i);
			}
		} else if (in.op == DUMP_UGET) {
			if (in.d >= pt->nuv)
				return false;
			use.uv = pt->rootuv[in.d];
			if (use.uv == NOUV)
				continue;
			out->read |= (uint64_t)1 << use.uv;
			if (!follow(p, pt, i, use))
				return false;
		} else if (in.op >= DUMP_USETV && in.op <= DUMP_USETP) {
			if (in.a >= pt->nuv)
				return false;
			if (pt->rootuv[in.a] != NOUV)
				out->written |= (uint64_t)1 << pt->rootuv[in.a];
		}
	}
	return true;
}

/* Which of the function's own upvalues each upvalue of pt is. */
static bool resolve(struct parser *p, struct proto *pt)
{
	for (uint32_t i = 0; i < pt->nuv; i++) {
		uint16_t ref;
		memcpy(&ref, p->bytes + pt->uv + (size_t)i * 2, sizeof ref);
		if (pt->parent == NOPARENT) {
			pt->rootuv[i] = (uint8_t)i;
		} else if (ref & DUMP_UVLOCAL) {
			pt->rootuv[i] = NOUV;
		} else {
			const struct proto *up = &p->proto[pt->parent];
			if (ref >= up->nuv)
				return false;
			pt->rootuv[i] = up->rootuv[ref];
		}
	}
	return true;
}

bool dump_examine(const uint8_t *bytes, size_t n, struct dumpinfo *out)
{
	*out = (struct dumpinfo){0};
	struct parser p = {.bytes = bytes, .rd = {bytes, bytes + n, false}, .out = out};
	bool ok = n < UINT32_MAX && parse(&p);
	for (uint32_t i = p.nproto; ok && i-- > 0;) /* parents before their children */
		ok = resolve(&p, &p.proto[i]) && look(&p, &p.proto[i]);
	if (ok) {
		const struct proto *root = &p.proto[p.nproto - 1];
		out->nuv = root->nuv;
		out->uvofs = root->uv;
		out->body = root->start;
	} else {
		dump_free(out);
	}
	free(p.proto);
	free(p.kgc);
	free(p.orphan);
	return ok;
}

void dump_free(struct dumpinfo *d)
{
	free(d->use);
	free(d->name);
	*d = (struct dumpinfo){0};
}
