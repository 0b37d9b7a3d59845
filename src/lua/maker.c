/* SPDX-License-Identifier: MIT */
/* maker.c - see maker.h. */
#include "lua/maker.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>

/* The prototype of the maker for n upvalues; made once, never changed. */
static struct {
	bool works;
	struct buf maker[DUMP_MAXUV + 1];
} made;

static int writer(lua_State *L, const void *p, size_t n, void *ud)
{
	(void)L;
	struct buf *b = ud;
	buf_put(b, p, n);
	return b->failed;
}

/* The dump of the function that the text returns. */
static bool dump(lua_State *L, const char *text, struct buf *out)
{
	buf_reset(out);
	bool ok = luaL_dostring(L, text) == 0 && lua_isfunction(L, -1) && lua_dump(L, writer, out) == 0;
	lua_settop(L, 0);
	return ok;
}

static bool isname(const struct buf *b, struct dumpname name, const char *text)
{
	return name.len == strlen(text) && memcmp(b->p + name.ofs, text, name.len) == 0;
}

static bool isuse(const struct buf *b, const struct dumpinfo *d, uint32_t i, bool global, uint8_t nkeys, const char *last)
{
	const struct dumpuse *use = &d->use[i];
	return use->global == global && use->nkeys == nkeys && use->line == i + 3 &&
	       (!last || isname(b, d->name[use->first + nkeys - !global], last));
}

/* A function with one of everything: is it all found? */
static bool examines(lua_State *L)
{
	static const char text[] = "local u, w = 1, 2\n"
				   "return function()\n"
				   "local t = gone.key.last\n"
				   "gset = u.third\n"
				   "local m = math\n"
				   "local x = m.pi, string.len, u\n"
				   "local function inner() w = u end end\n";
	struct buf b = {NULL, 0, 0, false};
	struct dumpinfo d = {0};
	bool ok = dump(L, text, &b) && dump_examine(b.p, b.n, &d);
	/* gone.key.last, u.third, math, string.len, u; all of the child come later */
	ok = ok && d.nuv == 2 && d.nuse == 5 && isuse(&b, &d, 0, true, 2, "last") && isuse(&b, &d, 1, false, 1, "third") &&
	     isuse(&b, &d, 2, true, 0, "math") && isuse(&b, &d, 3, true, 1, "len") && !d.use[4].global &&
	     d.use[4].nkeys == 0 && d.written == (uint64_t)1 << (d.use[4].uv == 0) && d.writesglobal &&
	     isname(&b, d.gset, "gset") && d.gsetline == 4;
	dump_free(&d);
	buf_free(&b);
	return ok;
}

static bool makemaker(lua_State *L, uint32_t n)
{
	struct buf text = {NULL, 0, 0, false}, b = {NULL, 0, 0, false};
	char arg[16];
	struct dumpinfo d = {0};
#define ADD(s) buf_put(&text, s, strlen(s))
	ADD("local function maker(");
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < n; i++) {
			snprintf(arg, sizeof arg, "%su%u", i > 0 ? "," : "", (unsigned)i);
			ADD(arg);
		}
		if (pass == 0)
			ADD(n > 0 ? ") return function() local _ = " : ") return function() ");
	}
	ADD(" end end return maker");
#undef ADD
	buf_byte(&text, 0);
	bool ok = !text.failed && dump(L, (const char *)text.p, &b) && dump_examine(b.p, b.n, &d) && d.nuv == 0;
	if (ok)
		buf_put(&made.maker[n], b.p + d.body, d.end - d.body);
	dump_free(&d);
	buf_free(&b);
	buf_free(&text);
	return ok && !made.maker[n].failed;
}

static void make(void)
{
	lua_State *L = luaL_newstate();
	if (!L)
		return;
	made.works = examines(L);
	for (uint32_t n = 0; n <= DUMP_MAXUV && made.works; n++)
		made.works = makemaker(L, n);
	lua_close(L);
}

bool maker_works(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make);
	return made.works;
}

void maker_patch(uint8_t *dump_, const struct dumpinfo *info, uint64_t immutable)
{
	for (uint32_t i = 0; i < info->nuv; i++) {
		uint16_t ref = (uint16_t)(DUMP_UVLOCAL | (immutable >> i & 1 ? DUMP_UVIMMUTABLE : 0) | i);
		memcpy(dump_ + info->uvofs + (size_t)i * 2, &ref, sizeof ref);
	}
}

void maker_load(lua_State *L, const struct code *c, uint64_t immutable, struct buf *b)
{
	buf_reset(b);
	buf_put(b, c->dump, c->info.end);
	if (!b->failed)
		maker_patch(b->p, &c->info, immutable);
	const struct buf *maker = &made.maker[c->info.nuv];
	buf_put(b, maker->p, maker->n);
	buf_byte(b, 0);
	if (b->failed)
		values_nomem(L);
	if (luaL_loadbuffer(L, (const char *)b->p, b->n, "=maker") != 0)
		lua_error(L);
}
