/* SPDX-License-Identifier: MIT */
/* lib_http.c - HTTP/1.x responses, parsed by llhttp from a socket's buffer.
 *
 * A parser gathers one response at a time: the callbacks copy names, values and
 * body into its two byte buffers, and Lua values are made once the message is
 * complete.  The parser pauses there, so that what follows on the connection
 * stays in the socket's buffer. */
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

#include "lua/fd.h"

#define PARSER "luapark.httpparser"

enum {
	MAXHEAD = 1 << 20,   /* bytes of reason, names and values together */
	MAXHEADERS = 1000, /* lines */
};

struct bytes {
	char *p;
	size_t len, cap;
};

struct parser {
	llhttp_t http;
	struct bytes head; /* reason\0 then name\0value\0 ... */
	struct bytes body;
	enum { START, REASON, NAME, VALUE, BODY } part; /* the part being gathered */
	int nheaders;
	bool nobody;	 /* the answer to a HEAD */
	bool started;	 /* a byte of this message was seen */
	bool complete;
	const char *why; /* what is wrong with it, beyond what llhttp says */
};

static bool append(struct bytes *b, const char *s, size_t n)
{
	if (b->cap - b->len < n) {
		size_t cap = b->cap ? b->cap : 512;
		while (cap - b->len < n)
			cap *= 2;
		char *p = realloc(b->p, cap);
		if (!p)
			return false;
		b->p = p;
		b->cap = cap;
	}
	memcpy(b->p + b->len, s, n);
	b->len += n;
	return true;
}

/* llhttp's callbacks -------------------------------------------------------- */

static int fail(struct parser *ps, const char *why)
{
	ps->why = why;
	return HPE_USER;
}

/* Adds to a part of the head; a new part ends the one before with a zero byte. */
static int gather(struct parser *ps, int part, const char *s, size_t n)
{
	if (ps->part == BODY) /* a trailer: llhttp checks its form, and nobody asks for it */
		return 0;
	if ((int)ps->part != part && ps->part != START && !append(&ps->head, "", 1))
		return fail(ps, "out of memory");
	if (ps->part == START && part != REASON && !append(&ps->head, "", 1)) /* no reason phrase */
		return fail(ps, "out of memory");
	ps->part = part;
	if (ps->head.len + n > MAXHEAD)
		return fail(ps, "header too large");
	if (memchr(s, '\0', n)) /* llhttp lets it pass in places, and our parts end with one */
		return fail(ps, "zero byte in the header");
	return append(&ps->head, s, n) ? 0 : fail(ps, "out of memory");
}

static int onreason(llhttp_t *p, const char *s, size_t n)
{
	return gather(p->data, REASON, s, n);
}

static int onname(llhttp_t *p, const char *s, size_t n)
{
	struct parser *ps = p->data;
	int rc = gather(ps, NAME, s, n);
	for (size_t i = ps->head.len - n; rc == 0 && ps->part == NAME && i < ps->head.len; i++) /* names are looked up in lower case */
		if (ps->head.p[i] >= 'A' && ps->head.p[i] <= 'Z')
			ps->head.p[i] = (char)(ps->head.p[i] + ('a' - 'A'));
	return rc;
}

static int onvalue(llhttp_t *p, const char *s, size_t n)
{
	return gather(p->data, VALUE, s, n);
}

/* A value may be empty: then no data came, but the part has begun. */
static int onvaluecomplete(llhttp_t *p)
{
	struct parser *ps = p->data;
	int rc = gather(ps, VALUE, "", 0);
	if (rc != 0 || ps->part != VALUE)
		return rc;
	if (++ps->nheaders > MAXHEADERS)
		return fail(ps, "too many headers");
	/* The blanks behind a value are not part of it (RFC 9110, 5.5). */
	size_t begin = ps->head.len;
	while (begin > 0 && ps->head.p[begin - 1] != '\0')
		begin--;
	while (ps->head.len > begin && (ps->head.p[ps->head.len - 1] == ' ' || ps->head.p[ps->head.len - 1] == '\t'))
		ps->head.len--;
	return 0;
}

static int onheaders(llhttp_t *p)
{
	struct parser *ps = p->data;
	ps->part = BODY;
	/* Ends the last part; the head of a message without headers is a reason alone. */
	if (!append(&ps->head, "", 1))
		return fail(ps, "out of memory");
	/* 1: no body follows, whatever the headers say (RFC 9112, 6.3). */
	return ps->nobody || p->status_code == 204 || p->status_code == 304;
}

static int onbody(llhttp_t *p, const char *s, size_t n)
{
	struct parser *ps = p->data;
	return append(&ps->body, s, n) ? 0 : fail(ps, "out of memory");
}

static void clear(struct parser *ps)
{
	ps->head.len = ps->body.len = 0;
	ps->nheaders = 0;
	ps->part = START;
	ps->started = ps->complete = false;
	ps->why = NULL;
}

static int oncomplete(llhttp_t *p)
{
	struct parser *ps = p->data;
	if (p->status_code / 100 == 1 && p->status_code != 101) {
		clear(ps); /* an interim answer; the real one follows */
		ps->started = true;
		return 0;
	}
	ps->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
	static llhttp_settings_t s;
	if (!s.on_message_complete) {
		llhttp_settings_init(&s);
		s.on_status = onreason;
		s.on_header_field = onname;
		s.on_header_value = onvalue;
		s.on_header_value_complete = onvaluecomplete;
		s.on_headers_complete = onheaders;
		s.on_body = onbody;
		s.on_message_complete = oncomplete;
	}
	return &s;
}

/* The library --------------------------------------------------------------- */

/* newparser() -> parser */
static int l_newparser(lua_State *L)
{
	struct parser *ps = lua_newuserdata(L, sizeof *ps);
	memset(ps, 0, sizeof *ps);
	luaL_getmetatable(L, PARSER);
	lua_setmetatable(L, -2);
	return 1;
}

static int l_gc(lua_State *L)
{
	struct parser *ps = luaL_checkudata(L, 1, PARSER);
	free(ps->head.p);
	free(ps->body.p);
	memset(ps, 0, sizeof *ps);
	return 0;
}

/* expect(parser, nobody): a response is to come */
static int l_expect(lua_State *L)
{
	struct parser *ps = luaL_checkudata(L, 1, PARSER);
	llhttp_init(&ps->http, HTTP_RESPONSE, settings());
	ps->http.data = ps;
	ps->nobody = lua_toboolean(L, 2);
	clear(ps);
	return 0;
}

static int malformed(lua_State *L, struct parser *ps)
{
	lua_pushnil(L);
	lua_pushinteger(L, 0);
	lua_pushfstring(L, "malformed HTTP response: %s", ps->why ? ps->why : llhttp_get_error_reason(&ps->http));
	return 3;
}

/* The end of the input: the end of a body without a length, or an error. */
static int finish(lua_State *L, struct parser *ps)
{
	if (!ps->started)
		return fd_fail(L, UV_EOF);
	(void)llhttp_finish(&ps->http); /* calls oncomplete if the message may end here */
	if (ps->complete) {
		lua_pushboolean(L, 1);
		return 1;
	}
	ps->why = "unexpected end of input";
	return malformed(L, ps);
}

enum { COMPLETE = 0, MALFORMED = 1 };

/* Feeds the parser what the socket has: COMPLETE, MALFORMED, or an error of the socket.
 * Holding its lock. */
static ssize_t feed(struct parser *ps, struct netfd *nf)
{
	for (;;) {
		size_t n;
		const char *s = netfd_input(nf, &n);
		if (n == 0) {
			ssize_t got = netfd_fill(nf);
			if (got < 0)
				return got;
			continue;
		}
		ps->started = true;
		enum llhttp_errno err = llhttp_execute(&ps->http, s, n);
		if (err == HPE_OK) {
			netfd_consume(nf, n);
		} else if (err == HPE_PAUSED || err == HPE_PAUSED_UPGRADE) {
			netfd_consume(nf, (size_t)(llhttp_get_error_pos(&ps->http) - s));
			return COMPLETE;
		} else {
			return MALFORMED;
		}
	}
}

/* parse(parser, fd) -> true once the response is complete | nil, code | nil, 0, why */
static int l_parse(lua_State *L)
{
	struct parser *ps = luaL_checkudata(L, 1, PARSER);
	struct netfd *nf = fd_check(L, 2);
	netfd_lock(nf);
	ssize_t got = feed(ps, nf);
	netfd_unlock(nf);
	if (got == MALFORMED)
		return malformed(L, ps);
	if (got == UV_EOF)
		return finish(L, ps);
	if (got < 0)
		return fd_fail(L, got);
	lua_pushboolean(L, 1);
	return 1;
}

static const char *end(const char *s)
{
	return s + strlen(s) + 1;
}

/* message(parser) -> status, reason, headers, body, whether the connection may be
 * used again.  headers: names in lower case; values of one name joined by ", ". */
static int l_message(lua_State *L)
{
	struct parser *ps = luaL_checkudata(L, 1, PARSER);
	const char *s = ps->head.p, *stop = s + ps->head.len;
	lua_pushinteger(L, ps->http.status_code);
	lua_pushstring(L, s);
	lua_newtable(L);
	for (s = end(s); s < stop;) {
		const char *name = s, *value = end(s);
		s = end(value);
		lua_getfield(L, -1, name);
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			lua_pushstring(L, value);
		} else {
			lua_pushfstring(L, ", %s", value);
			lua_concat(L, 2);
		}
		lua_setfield(L, -2, name);
	}
	lua_pushlstring(L, ps->body.len ? ps->body.p : "", ps->body.len);
	lua_pushboolean(L, llhttp_should_keep_alive(&ps->http) && !ps->http.upgrade && ps->http.status_code != 101);
	return 5;
}

/* started(parser) -> whether a byte of the response has come */
static int l_started(lua_State *L)
{
	struct parser *ps = luaL_checkudata(L, 1, PARSER);
	lua_pushboolean(L, ps->started);
	return 1;
}

void lib_http_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {{"newparser", l_newparser}, {"expect", l_expect},   {"parse", l_parse},
					 {"message", l_message},     {"started", l_started}, {NULL, NULL}};
	settings();
	luaL_newmetatable(L, PARSER);
	lua_pushcfunction(L, l_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	lua_newtable(L);
	host_register(L, ls, funcs);
	lua_setfield(L, -2, "http");
}
