/* SPDX-License-Identifier: MIT */
/* site.c - where goroutines were created, as a number.
 *
 * A program has few places that say go(), and starts millions of Gs there.  So
 * the text is made once for each place, and a G keeps a 32-bit index.  The way
 * from a call to its index is a hash of three words from vm_callsite; where that
 * cannot tell (module mode), of the place in words. */
#include <stdio.h>
#include <string.h>

#include "base/lock.h"
#include "base/os.h"
#include "lua/host.h"
#include "lua/vm.h"

struct site {
	uintptr_t key[3]; /* all zero: found by its place */
	char *place;   /* "server.lua:12", */
	char *creator; /* and "function 'serve' at server.lua:12" */
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
	return text ? !s->key[0] && strcmp(s->place, text) == 0 : memcmp(s->key, key, sizeof s->key) == 0;
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
		table.site[table.n++] = (struct site){{0}, NULL, NULL, false};
	free(table.bucket);
	table.nbuckets = table.cap * 2;
	table.bucket = xcalloc(table.nbuckets, sizeof *table.bucket);
	for (uint32_t i = 1; i < table.n; i++)
		*lookup(table.site[i].key, table.site[i].key[0] ? NULL : table.site[i].place) = i;
}

/* Finds the Lua function that is nearest to the running C function: in a coroutine, *ar. */
static lua_State *nearest(lua_State *L, struct lstate *ls, lua_Debug *ar)
{
	const G *gp = hostcurg(ls);
	/* The user's coroutine may be go itself: coroutine.wrap(go)(fn). */
	lua_State *co[] = {L, gp && gp->L != L ? gp->L : NULL};
	for (int i = 0; i < 2 && co[i]; i++)
		for (int level = i == 0; lua_getstack(co[i], level, ar) && lua_getinfo(co[i], "Sl", ar); level++)
			if (ar->currentline >= 0)
				return co[i];
	return NULL;
}

static void writeplace(char *buf, size_t size, const lua_Debug *ar)
{
	const char *file = ours_file(ar);
	snprintf(buf, size, "%.*s:%d", LUA_IDSIZE, file ? file : ar->short_src, ar->currentline);
}

/* What the function is called there.  (Names are the caller's: who is first at a place names
 * it.) */
static void writecreator(char *buf, size_t size, lua_State *co, lua_Debug *ar, const char *place)
{
	lua_getinfo(co, "n", ar);
	if (ours_file(ar))
		snprintf(buf, size, "[luapark] at %s", place);
	else if (*ar->namewhat)
		snprintf(buf, size, "function '%.*s' at %s", LUA_IDSIZE, ar->name, place);
	else if (*ar->what == 'm')
		snprintf(buf, size, "main chunk at %s", place);
	else
		snprintf(buf, size, "function <%s:%d> at %s", ar->short_src, ar->linedefined, place);
}

static char *copy(const char *s)
{
	return strcpy(xmalloc(strlen(s) + 1), s);
}

uint32_t site_of(lua_State *L, struct lstate *ls, const struct callsite *cs)
{
	char place[LUA_IDSIZE + 32] = "", creator[2 * LUA_IDSIZE + 64 + sizeof place];
	lua_Debug ar;
	lua_State *co = NULL;
	const uintptr_t *key = cs->key;
	bool bykey = key[0] != 0;
	if (bykey && key[0] == ls->lastkey[0] && key[1] == ls->lastkey[1] && key[2] == ls->lastkey[2])
		return ls->lastsite; /* a loop, most often */
	if (!bykey) {
		if (!(co = nearest(L, ls, &ar)))
			return 0;
		writeplace(place, sizeof place, &ar);
	}
	lock(&table.lock);
	if (table.n == table.cap)
		grow();
	uint32_t *b = lookup(key, bykey ? NULL : place);
	uint32_t i = *b;
	if (i == 0 && (co || (co = nearest(L, ls, &ar)))) {
		i = *b = table.n++;
		writeplace(place, sizeof place, &ar);
		writecreator(creator, sizeof creator, co, &ar, place);
		table.site[i] = (struct site){{key[0], key[1], key[2]}, copy(place), copy(creator), false};
	}
	unlock(&table.lock);
	if (bykey) {
		memcpy(ls->lastkey, key, sizeof ls->lastkey);
		ls->lastsite = i;
	}
	return i;
}

const char *site_creator(uint32_t site)
{
	lock(&table.lock);
	const char *creator = site ? table.site[site].creator : NULL;
	unlock(&table.lock);
	return creator;
}

const char *site_place(uint32_t site)
{
	lock(&table.lock);
	const char *place = site ? table.site[site].place : NULL;
	unlock(&table.lock);
	return place;
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
