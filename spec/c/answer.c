/* SPDX-License-Identifier: MIT */
#include "load/answer.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

static struct answer a;
static struct knownhead known;

/* What came of a text that is fed in pieces of n bytes: "200+", "204-", ...: status, and whether the connection stays;
 * or why it is bad; "..." if it is not complete. */
static char told[4096];

static void note(bool keep)
{
	size_t at = strlen(told);
	at += (size_t)snprintf(told + at, sizeof told - at, "%d%c", a.status, a.keepalive ? '+' : '-');
	if (keep)
		snprintf(told + at, sizeof told - at, "[%.*s]", (int)a.bodylen, a.bodylen ? a.body : "");
}

static const char *feed(const char *s, size_t each, bool keep, bool eof)
{
	size_t n = strlen(s), used;
	char piece[4096]; /* so that nobody reads what is behind, or came before */
	told[0] = '\0';
	for (size_t at = 0; at < n; at += each) {
		size_t len = n - at < each ? n - at : each, done = 0;
		memcpy(piece, s + at, len);
		while (done < len) {
			switch (answer_feed(&a, &known, piece + done, len - done, &used, keep)) {
			case ANSWER_MORE:
				CHECK_EQ(used, len - done);
				break;
			case ANSWER_DONE:
				note(keep);
				break;
			case ANSWER_BAD:
				answer_reset(&a);
				strcat(told, a.why);
				return told;
			}
			done += used;
		}
	}
	if (answer_begun(&a) && eof) {
		if (answer_eof(&a) == ANSWER_DONE)
			note(keep);
		else
			strcat(told, a.why);
	} else if (answer_begun(&a)) {
		strcat(told, "...");
	}
	answer_reset(&a);
	return told;
}

/* The same however it comes, with what is known and without. */
static void same(const char *s, const char *want, bool eof)
{
	size_t n = strlen(s);
	memset(&known, 0, sizeof known);
	for (size_t each = 1; each <= n; each++)
		CHECK_STR(feed(s, each, true, eof), want);
	for (size_t each = n; each > 0; each--)
		CHECK_STR(feed(s, each, true, eof), want);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"

TEST(answer_length)
{
	answer_init(&a);
	same(OK, "200+[hello]", false);
	same(OK OK OK, "200+[hello]200+[hello]200+[hello]", false);
	same("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "404+[]", false);
	same("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab", "200-[ab]", false);
	same("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", "200-[ab]", false);
	same("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab", "200+[ab]", false);
	answer_term(&a);
}

TEST(answer_other_lengths)
{
	answer_init(&a);
	same("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: r\r\n\r\n" OK,
	     "200+[abcde]200+[hello]", false);
	same("HTTP/1.1 204 No\r\n\r\n" OK, "204+[]200+[hello]", false);
	same("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n" OK, "304+[]200+[hello]", false);
	same("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nX: y\r\n\r\n" OK, "200+[hello]", false);
	same("HTTP/1.1 200 OK\r\n\r\nall that comes", "200-[all that comes]", true);
	answer_term(&a);
}

TEST(answer_to_head)
{
	answer_init(&a);
	same(OK, "200+[hello]", false); /* that is known now, and must not be taken */
	a.nobody = true;
	CHECK_STR(feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\n", 100, true, false), "200+[]");
	a.nobody = false;
	CHECK_STR(feed(OK, 100, true, false), "200+[hello]");
	answer_term(&a);
}

TEST(answer_bad)
{
	answer_init(&a);
	same("SSH-2.0-OpenSSH\r\n", "Expected HTTP/", false);
	same("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "connection closed before the answer was complete", true);
	same("HTTP/1.1 200 OK\r\nContent-Le", "connection closed before the answer was complete", true);
	same("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "...", false);
	CHECK(strcmp(feed("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 100, true, false), "") != 0);
	answer_term(&a);
}

TEST(answer_head_is_bounded)
{
	static char line[4001];
	answer_init(&a);
	memset(line, 'x', 4000);
	size_t used;
	const char *first = "HTTP/1.1 200 OK\r\nX: ";
	CHECK_EQ(answer_feed(&a, &known, first, strlen(first), &used, true), ANSWER_MORE);
	int n = 0;
	while (answer_feed(&a, &known, line, 4000, &used, true) == ANSWER_MORE)
		n++;
	CHECK(n <= ANSWER_MAXHEAD / 4000);
	CHECK_STR(a.why, "header too large");
	answer_term(&a);
}

TEST(answer_knows_the_last_head)
{
	answer_init(&a);
	memset(&known, 0, sizeof known);
	CHECK_STR(feed(OK, 1000, false, false), "200+");
	CHECK_EQ(known.len, strlen(OK) - 5);
	CHECK_EQ(known.bodylen, 5);
	CHECK_STR(feed(OK, 1000, false, false), "200+");
	/* Another one of the same length is another one. */
	CHECK_STR(feed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\n\r\nhell" OK, 1000, true, false), "200+[hell]200+[hello]");
	/* What has no length is not kept, */
	CHECK_STR(feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1000, false, false), "200+");
	CHECK_EQ(known.bodylen, 5);
	/* and heads are whole with whatever body, in our buffers or the caller's. */
	const char *s = OK;
	size_t used, n = strlen(s);
	CHECK_EQ(answer_feed(&a, &known, s, n, &used, true), ANSWER_DONE);
	CHECK_EQ(a.headlen, n - 5);
	CHECK(a.head == s && a.body == s + n - 5);
	CHECK_EQ(answer_feed(&a, &known, s, n - 2, &used, true), ANSWER_MORE);
	CHECK_EQ(answer_feed(&a, &known, s + n - 2, 2, &used, true), ANSWER_DONE);
	CHECK_EQ(a.headlen, n - 5);
	CHECK(memcmp(a.head, s, n - 5) == 0 && memcmp(a.body, "hello", 5) == 0);
	CHECK_EQ(answer_feed(&a, &known, s, 30, &used, true), ANSWER_MORE);
	CHECK_EQ(answer_feed(&a, &known, s + 30, n - 30, &used, true), ANSWER_DONE);
	CHECK_EQ(a.headlen, n - 5);
	CHECK(memcmp(a.head, s, n - 5) == 0);
	answer_term(&a);
}

TEST(answer_counts_requests)
{
	const char *why;
	size_t at;
	uint64_t heads;
#define COUNT(s) answer_countrequests(s, strlen(s), &heads, &why, &at)
	CHECK_EQ(COUNT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
	CHECK_EQ(heads, 0);
	CHECK_EQ(COUNT("GET / HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), 3);
	CHECK_EQ(heads, 2);
	CHECK_EQ(COUNT(""), 0);
	CHECK_STR(why, "incomplete request");
	CHECK_EQ(COUNT("GET / HTTP/1.1\r\n"), 0);
	CHECK_STR(why, "incomplete request");
	CHECK_EQ(COUNT("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"), 0);
	CHECK_STR(why, "incomplete request");
	CHECK_EQ(COUNT("GET / HTTP/1.1\r\n\r\nwhat?\r\n"), 0);
	CHECK(at >= 18 && at < 25);
}
