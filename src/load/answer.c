/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "load/answer.h"

#include <string.h>

#include "base/throw.h"

static int onbody(llhttp_t *http, const char *at, size_t n);
static int onheaders(llhttp_t *http);
static int oncomplete(llhttp_t *http);

static const llhttp_settings_t settings = {
	.on_body = onbody,
	.on_headers_complete = onheaders,
	.on_message_complete = oncomplete,
};

void answer_init(struct answer *a)
{
	memset(a, 0, sizeof *a);
}

void answer_term(struct answer *a)
{
	buf_free(&a->headbuf);
	buf_free(&a->bodybuf);
}

void answer_reset(struct answer *a)
{
	a->state = ANSWER_START;
}

/* llhttp's callbacks --------------------------------------------------------------- */

static void keeppiece(struct answer *a)
{
	if (a->piecelen > 0)
		buf_put(&a->bodybuf, a->piece, a->piecelen);
	a->piecelen = 0;
}

static int onbody(llhttp_t *http, const char *at, size_t n)
{
	struct answer *a = http->data;
	if (!a->keep)
		return 0;
	keeppiece(a);
	a->piece = at;
	a->piecelen = n;
	return 0;
}

static int onheaders(llhttp_t *http)
{
	struct answer *a = http->data;
	a->headdone = true;
	a->status = http->status_code;
	a->haslength = (http->flags & F_CONTENT_LENGTH) && !(http->flags & F_CHUNKED);
	a->length = http->content_length;
	a->keepalive = llhttp_should_keep_alive(http);
	/* 1: no body follows, whatever the headers say (RFC 9112, 6.3). */
	if (a->nobody || a->status == 204 || a->status == 304) {
		a->haslength = false;
		return 1;
	}
	return 0;
}

static int oncomplete(llhttp_t *http)
{
	struct answer *a = http->data;
	a->complete = true;
	a->keepalive = llhttp_should_keep_alive(http);
	return HPE_PAUSED;
}

/* Heads ------------------------------------------------------------------------------ */

/* Where the head that begins at p ends, within n bytes; from: its end is not before. */
static size_t headend(const char *p, size_t n, size_t from)
{
	const char *at = p + from, *end = p + n;
	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		at++;
		if (at < end && *at == '\n')
			return (size_t)(at - p) + 1;
		if (at + 1 < end && at[0] == '\r' && at[1] == '\n')
			return (size_t)(at - p) + 2;
	}
	return n;
}

/* The head that llhttp has just read in one piece. */
static void learn(const struct answer *a, struct knownhead *known, const char *p, size_t n)
{
	if (!a->haslength || a->status < 200)
		return;
	size_t len = headend(p, n, 0);
	if (len > ANSWER_MAXKNOWN || len == 0)
		return;
	known->len = len;
	known->bodylen = a->length;
	known->status = a->status;
	known->keepalive = a->keepalive;
	memcpy(known->bytes, p, len);
}

/* The part of the head that is in these n bytes goes into our own buffer. */
static void keephead(struct answer *a, const char *p, size_t n)
{
	size_t before = a->headbuf.n;
	buf_put(&a->headbuf, p, n);
	if (a->headdone && !a->headbuf.failed)
		a->headbuf.n = headend((const char *)a->headbuf.p, a->headbuf.n, before > 3 ? before - 3 : 0);
}

/* Feeding ------------------------------------------------------------------------------ */

static enum answered bad(struct answer *a, const char *why)
{
	a->why = why;
	return ANSWER_BAD;
}

static enum answered done(struct answer *a)
{
	a->state = ANSWER_START;
	if (a->keep && (a->headbuf.failed || a->bodybuf.failed))
		return bad(a, "out of memory");
	return ANSWER_DONE;
}

/* What was kept in our own buffers is what the caller gets. */
static void givebufs(struct answer *a)
{
	a->head = (const char *)a->headbuf.p;
	a->headlen = a->headbuf.n;
	a->body = (const char *)a->bodybuf.p;
	a->bodylen = a->bodybuf.n;
}

static enum answered skip(struct answer *a, const char *p, size_t n, size_t *used)
{
	size_t part = n < a->left ? n : (size_t)a->left;
	if (a->keep)
		buf_put(&a->bodybuf, p, part);
	a->left -= part;
	*used = part;
	if (a->left > 0)
		return ANSWER_MORE;
	givebufs(a);
	return done(a);
}

/* Begins with a head that is known. */
static enum answered again(struct answer *a, const struct knownhead *known, const char *p, size_t n, size_t *used)
{
	a->status = known->status;
	a->keepalive = known->keepalive;
	size_t rest = n - known->len;
	if (lp_likely(rest >= known->bodylen)) {
		a->head = p;
		a->headlen = known->len;
		a->body = p + known->len;
		a->bodylen = (size_t)known->bodylen;
		*used = known->len + (size_t)known->bodylen;
		return ANSWER_DONE;
	}
	a->state = ANSWER_SKIP;
	a->left = known->bodylen;
	if (a->keep) {
		buf_reset(&a->headbuf);
		buf_reset(&a->bodybuf);
		buf_put(&a->headbuf, p, known->len);
	}
	size_t more;
	enum answered rc = skip(a, p + known->len, rest, &more);
	*used = known->len + more;
	return rc;
}

static void begin(struct answer *a)
{
	llhttp_init(&a->http, HTTP_RESPONSE, &settings);
	a->http.data = a;
	a->state = ANSWER_PARSE;
	a->headdone = a->complete = false;
	a->seen = 0;
	a->piecelen = 0;
	buf_reset(&a->headbuf);
	buf_reset(&a->bodybuf);
}

/* A response, perhaps one that is to be passed over (1xx). */
static enum answered parse(struct answer *a, struct knownhead *known, const char *p, size_t n, size_t *used)
{
	bool whole = a->state == ANSWER_START, inhead;
	if (whole)
		begin(a);
	inhead = !a->headdone;
	llhttp_errno_t err = llhttp_execute(&a->http, p, n);
	if (err != HPE_OK && err != HPE_PAUSED && err != HPE_PAUSED_UPGRADE)
		return bad(a, llhttp_get_error_reason(&a->http));
	*used = err == HPE_OK ? n : (size_t)(llhttp_get_error_pos(&a->http) - p);
	if (inhead && (a->seen += *used) > ANSWER_MAXHEAD && !a->headdone)
		return bad(a, "header too large");
	if (whole && a->headdone)
		learn(a, known, p, *used);
	if (err == HPE_PAUSED_UPGRADE)
		a->complete = true;
	if (a->keep && whole && a->complete) {
		a->head = p;
		a->headlen = headend(p, *used, 0);
	} else if (a->keep && inhead) {
		keephead(a, p, *used);
	}
	if (!a->complete) {
		keeppiece(a);
		return ANSWER_MORE;
	}
	if (!whole)
		givebufs(a);
	if (a->bodybuf.n > 0) {
		keeppiece(a);
		a->body = (const char *)a->bodybuf.p;
		a->bodylen = a->bodybuf.n;
	} else {
		a->body = a->piece;
		a->bodylen = a->piecelen;
	}
	return done(a);
}

enum answered answer_feed(struct answer *a, struct knownhead *known, const char *p, size_t n, size_t *used, bool keep)
{
	a->keep = keep;
	if (a->state == ANSWER_SKIP)
		return skip(a, p, n, used);
	size_t total = 0, part;
	for (;;) {
		if (lp_likely(a->state == ANSWER_START && known->len > 0 && n >= known->len && !a->nobody &&
			      memcmp(p, known->bytes, known->len) == 0)) {
			enum answered rc = again(a, known, p, n, &part);
			*used = total + part;
			return rc;
		}
		enum answered rc = parse(a, known, p, n, &part);
		if (rc == ANSWER_BAD)
			return rc;
		total += part;
		*used = total;
		/* After an interim response comes the real one. */
		if (rc == ANSWER_MORE || a->status / 100 != 1 || a->status == 101)
			return rc;
		p += part;
		n -= part;
		if (n == 0)
			return ANSWER_MORE;
	}
}

enum answered answer_eof(struct answer *a)
{
	if (a->state == ANSWER_START)
		return ANSWER_MORE;
	if (a->state == ANSWER_SKIP)
		return bad(a, "connection closed before the answer was complete");
	llhttp_errno_t err = llhttp_finish(&a->http);
	if ((err != HPE_OK && err != HPE_PAUSED) || !a->complete)
		return bad(a, "connection closed before the answer was complete");
	givebufs(a);
	a->keepalive = false;
	return done(a);
}

/* Requests ------------------------------------------------------------------------------- */

struct requests {
	uint32_t n;
	uint64_t heads;
};

static int onrequest(llhttp_t *http)
{
	struct requests *r = http->data;
	if (r->n < 64 && http->method == HTTP_HEAD)
		r->heads |= UINT64_C(1) << r->n;
	r->n++;
	return 0;
}

uint32_t answer_countrequests(const char *s, size_t n, uint64_t *heads, const char **why, size_t *at)
{
	static const llhttp_settings_t counting = {.on_message_complete = onrequest};
	struct requests r = {0};
	llhttp_t http;
	llhttp_init(&http, HTTP_REQUEST, &counting);
	http.data = &r;
	llhttp_errno_t err = llhttp_execute(&http, s, n);
	*heads = r.heads;
	*why = NULL;
	*at = n;
	if (err == HPE_PAUSED_UPGRADE)
		return r.n;
	if (err != HPE_OK) {
		*why = llhttp_get_error_reason(&http);
		*at = (size_t)(llhttp_get_error_pos(&http) - s);
		return 0;
	}
	if (r.n == 0 || llhttp_finish(&http) != HPE_OK) {
		*why = "incomplete request";
		return 0;
	}
	return r.n;
}
