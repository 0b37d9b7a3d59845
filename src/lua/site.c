/* SPDX-License-Identifier: MIT */
/* site.c - where goroutines were created, as a number.
 *
 * A program has few places that say go(), and starts millions of Gs there.  So
 * the text is made once for each place, and a G keeps a 32-bit index.  The way
 * from a call to its index is a hash of three words from vm_callsite; where that
 * cannot tell (module mode), of the text itself. */
#include <stdio.h>
#include <string.h>

#include "base/lock.h"
#include "base/os.h"
#include "lua/host.h"
#include "lua/vm.h"

struct site {
	uintptr_t key[3]; /* all zero: found by its text */
	char *text;
	bool reported;
};

/* Sites are never forgotten: as many as the program's source has calls of go. */
static struct {
	struct lock lock;
	struct site *site; /* [0] is "not known" */
	uint32_t n, cap;
	uint32_t *bucket; /* open addressing, 0 is empty; a power of two, at most half full */
	uint32_t nbuckets;
} table = {.lock = LOCK_INIT(RANK_SITE)};

static uint32_t hash(const uintptr_t key[3], const char *text)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, over words where there are words */
	if (text)
		for (; *text; text++)
			h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	else
		for (int i = 0; i < 3; i++)
			h = (h ^ key[i]) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

static bool same(const struct site *s, const uintptr_t key[3], const char *text)
{
	return text ? !s->key[0] && strcmp(s->text, text) == 0 : memcmp(s->key, key, sizeof s->key) == 0;
}

static uint32_t *lookup(const uintptr_t key[3], const char *text)
{
	uint32_t i = hash(key, text) & (table.nbuckets - 1);
	while (table.bucket[i] && !same(&table.site[table.bucket[i]], key, text))
		i = (i + 1) & (table.nbuckets - 1);
	return &table.bucket[i];
}

static void grow(void)
{
	table.cap = table.cap ? table.cap * 2 : 64;
	struct site *p = realloc(table.site, table.cap * sizeof *p);
	if (!p)
		throw("out of memory");
	table.site = p;
	if (table.n == 0)
		table.site[table.n++] = (struct site){{0}, NULL, false};
	free(table.bucket);
	table.nbuckets = table.cap * 2;
	table.bucket = xcalloc(table.nbuckets, sizeof *table.bucket);
	for (uint32_t i = 1; i < table.n; i++)
		*lookup(table.site[i].key, table.site[i].key[0] ? NULL : table.site[i].text) = i;
}

static bool describe(lua_State *L, char *buf, size_t size)
{
	lua_Debug ar;
	if (!lua_getstack(L, 1, &ar) || !lua_getinfo(L, "Sl", &ar) || ar.currentline < 0)
		return false;
	snprintf(buf, size, "%s:%d", ar.short_src, ar.currentline);
	return true;
}

uint32_t site_of(lua_State *L, struct lstate *ls, const struct callsite *cs)
{
	char buf[LUA_IDSIZE + 16];
	const uintptr_t *key = cs->key;
	bool bykey = key[0] != 0;
	if (bykey && key[0] == ls->lastkey[0] && key[1] == ls->lastkey[1] && key[2] == ls->lastkey[2])
		return ls->lastsite; /* a loop, most often */
	if (!bykey && !describe(L, buf, sizeof buf))
		return 0;
	lock(&table.lock);
	if (table.n == table.cap)
		grow();
	uint32_t *b = lookup(key, bykey ? NULL : buf);
	uint32_t i = *b;
	if (i == 0 && (!bykey || describe(L, buf, sizeof buf))) {
		i = *b = table.n++;
		table.site[i] = (struct site){{key[0], key[1], key[2]}, xmalloc(strlen(buf) + 1), false};
		strcpy(table.site[i].text, buf);
	}
	unlock(&table.lock);
	if (bykey) {
		memcpy(ls->lastkey, key, sizeof ls->lastkey);
		ls->lastsite = i;
	}
	return i;
}

const char *site_text(uint32_t site)
{
	lock(&table.lock);
	const char *text = site ? table.site[site].text : NULL;
	unlock(&table.lock);
	return text;
}

bool site_report(uint32_t site)
{
	lock(&table.lock);
	bool first = site && !table.site[site].reported;
	if (first)
		table.site[site].reported = true;
	unlock(&table.lock);
	return first;
}
