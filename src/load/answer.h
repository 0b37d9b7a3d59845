/* SPDX-License-Identifier: MIT */
/* answer.h - HTTP/1.x responses as they come in, piece by piece.
 *
 * A server under load says the same head again and again.  So a thread keeps the last head
 * that llhttp has read from a buffer in one piece, and whose body has a length: where a
 * response begins with the very same bytes it means the very same, and nothing is parsed.
 * All else goes through llhttp.
 *
 * Owner thread only; knows no socket. */
#ifndef LUAPARK_LOAD_ANSWER_H
#define LUAPARK_LOAD_ANSWER_H

#include <llhttp.h>
#include <stdbool.h>

#include "base/buf.h"

enum {
	ANSWER_MAXHEAD = 1 << 20, /* bytes */
	ANSWER_MAXKNOWN = 4096,   /* a head longer than that is not kept for comparison */
};

/* The head that was seen last. */
struct knownhead {
	size_t len; /* 0: none */
	uint64_t bodylen;
	int status;
	bool keepalive;
	char bytes[ANSWER_MAXKNOWN];
};

struct answer {
	/* What came of it, once it is complete. */
	int status;
	bool keepalive;
	const char *head, *body; /* with `keep`; in the caller's buffer or in our own */
	size_t headlen, bodylen;
	const char *why; /* it is bad: in words that live for ever */

	/* The caller's, before a response begins. */
	bool nobody; /* it answers a HEAD */

	/* Ours. */
	enum { ANSWER_START, ANSWER_PARSE, ANSWER_SKIP } state;
	bool headdone, complete, haslength;
	uint64_t left; /* ANSWER_SKIP: bytes of the body that are still to come */
	uint64_t length;
	size_t seen; /* bytes of head */
	const char *piece; /* a piece of body in the caller's buffer */
	size_t piecelen;
	bool keep;
	llhttp_t http;
	struct buf headbuf, bodybuf;
};

enum answered { ANSWER_MORE, ANSWER_DONE, ANSWER_BAD };

void answer_init(struct answer *a);
void answer_term(struct answer *a);
/* The connection is new: forgets what has begun. */
void answer_reset(struct answer *a);

/* Whether a response has begun and is not complete. */
static inline bool answer_begun(const struct answer *a)
{
	return a->state != ANSWER_START;
}

/* Takes what it can of n bytes, *used of them: all, or up to the end of one response.
 * keep: head and body are wanted; they stay valid until the next call, and as long as
 * the caller's buffer does. */
enum answered answer_feed(struct answer *a, struct knownhead *known, const char *p, size_t n, size_t *used, bool keep);

/* The server has closed: that may be a response's end.  ANSWER_MORE: there was none under way. */
enum answered answer_eof(struct answer *a);

/* How many HTTP requests s holds: 0 and *why, *at if it is not whole ones.  *heads: a bit for each
 * of the first 64 that is a HEAD. */
uint32_t answer_countrequests(const char *s, size_t n, uint64_t *heads, const char **why, size_t *at);

#endif
