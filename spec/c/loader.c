/* SPDX-License-Identifier: MIT */
/* The loader against a server that is this test, on one thread: each step of both is by hand. */
#define _GNU_SOURCE
#include "load/loader.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "test.h"

#define REQUEST "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static const int64_t MS = 1000000;
static int listener;
static struct loadconf conf;
static struct loader *ld;

static void listening(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(bind(listener, (struct sockaddr *)&in, len), 0);
	CHECK_EQ(listen(listener, 100), 0);
	CHECK_EQ(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	conf = (struct loadconf){.nconns = 1, .timeout = 1000 * MS, .duration = INT64_MAX, .number = UINT64_MAX, .pipeline = 1};
	memcpy(&conf.addr, &in, len);
	conf.addrlen = len;
}

static void with(const char *request)
{
	conf.request = request ? strdup(request) : NULL;
	conf.requestlen = request ? strlen(request) : 0;
	ld = load_new(&conf);
	CHECK(ld != NULL);
}

static void term(void)
{
	load_free(ld);
	close(listener);
}

/* Until there is something to do. */
static void pass(void)
{
	struct pollfd pfd = {.fd = ld->epfd, .events = POLLIN};
	int64_t ns = ld->until - nanotime();
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	if (ns > 0)
		ppoll(&pfd, 1, &t, NULL);
}

/* What the loader asks next, but for patience. */
static enum loadask ask(void)
{
	for (int i = 0; i < 20; i++) {
		enum loadask what = load_next(ld);
		if (what != LOAD_TURN)
			return what;
	}
	return LOAD_TURN;
}

/* It waits until there is nothing to do but for what the server does.  What else it asks, if it does. */
static enum loadask settle(void)
{
	struct pollfd pfd = {.fd = ld->epfd, .events = POLLIN};
	enum loadask what;
	do
		what = ask();
	while (what == LOAD_WAIT && poll(&pfd, 1, 20) > 0);
	return what;
}

static int server(void)
{
	int fd = accept(listener, NULL, NULL);
	CHECK(fd >= 0);
	return fd;
}

static void takes(int fd, const char *want)
{
	char got[4096];
	size_t n = strlen(want);
	CHECK_EQ(recv(fd, got, n, MSG_WAITALL), n);
	CHECK(memcmp(got, want, n) == 0);
}

static void says(int fd, const char *s)
{
	CHECK_EQ(send(fd, s, strlen(s), MSG_NOSIGNAL), strlen(s));
}

TEST(loader_plain)
{
	listening();
	conf.number = 3;
	with(REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	int fd = server();
	for (int i = 0; i < 3; i++) {
		takes(fd, REQUEST);
		CHECK_EQ(load_relaxed(&ld->requests), i);
		says(fd, ANSWER);
		CHECK_EQ(settle(), i < 2 ? LOAD_WAIT : LOAD_OVER);
	}
	CHECK_EQ(load_relaxed(&ld->requests), 3);
	CHECK_EQ(load_relaxed(&ld->bytes), 3 * strlen(ANSWER));
	CHECK(ld->end >= ld->start);
	CHECK_EQ(ld->causes.n, 0);
	close(fd);
	term();
}

TEST(loader_scripted)
{
	listening();
	conf.number = 2;
	conf.delay = conf.response = true;
	with(NULL);
	CHECK_EQ(settle(), LOAD_DELAY);
	load_delay(ld, 0);
	CHECK_EQ(settle(), LOAD_REQUEST);
	load_send(ld, REQUEST, strlen(REQUEST));
	CHECK_EQ(settle(), LOAD_WAIT);
	int fd = server();
	takes(fd, REQUEST);
	says(fd, "HTTP/1.1 404 No\r\nContent-Le");
	CHECK_EQ(settle(), LOAD_WAIT);
	says(fd, "ngth: 3\r\n\r\nabc");
	CHECK_EQ(settle(), LOAD_RESPONSE);
	CHECK_EQ(ld->view.status, 404);
	CHECK_EQ(ld->view.bodylen, 3);
	CHECK(memcmp(ld->view.body, "abc", 3) == 0);
	CHECK_EQ(load_relaxed(&ld->requests), 0); /* when it was shown */
	CHECK_EQ(settle(), LOAD_DELAY);
	CHECK_EQ(load_relaxed(&ld->requests), 1);
	CHECK_EQ(load_relaxed(&ld->errors[LOAD_STATUS]), 1);
	load_delay(ld, 1e300); /* never */
	CHECK_EQ(settle(), LOAD_WAIT);
	store_relaxed(&ld->stop, true);
	CHECK_EQ(settle(), LOAD_OVER);
	close(fd);
	term();
}

TEST(loader_pipelines)
{
	listening();
	conf.pipeline = 3;
	conf.number = 6;
	conf.response = true;
	with(REQUEST REQUEST REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	int fd = server();
	takes(fd, REQUEST REQUEST REQUEST);
	says(fd, ANSWER ANSWER);
	CHECK_EQ(settle(), LOAD_RESPONSE);
	CHECK_EQ(settle(), LOAD_RESPONSE);
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK_EQ(load_relaxed(&ld->requests), 2);
	says(fd, ANSWER);
	CHECK_EQ(settle(), LOAD_RESPONSE);
	CHECK_EQ(settle(), LOAD_WAIT);
	takes(fd, REQUEST REQUEST REQUEST);
	says(fd, ANSWER ANSWER ANSWER);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(settle(), LOAD_RESPONSE);
	CHECK_EQ(settle(), LOAD_OVER);
	CHECK_EQ(load_relaxed(&ld->requests), 6);
	close(fd);
	term();
}

TEST(loader_reconnects)
{
	listening();
	with(REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	int fd = server();
	takes(fd, REQUEST);
	says(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nup to the end");
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK_EQ(load_relaxed(&ld->requests), 0);
	close(fd);
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK_EQ(load_relaxed(&ld->requests), 1);
	CHECK_EQ(ld->causes.n, 0);
	fd = server();
	takes(fd, REQUEST);
	close(fd); /* without an answer */
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK_EQ(load_relaxed(&ld->errors[LOAD_READ]), 1);
	CHECK_STR(ld->causes.list[0].text, "connection closed without an answer");
	fd = server();
	takes(fd, REQUEST);
	says(fd, "nonsense\r\n");
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK_EQ(load_relaxed(&ld->errors[LOAD_READ]), 2);
	close(fd);
	fd = server();
	takes(fd, REQUEST);
	says(fd, ANSWER ANSWER); /* one too many; the next was sent, and the second is taken for its answer */
	CHECK_EQ(settle(), LOAD_WAIT);
	takes(fd, REQUEST);
	CHECK_EQ(load_relaxed(&ld->nopen), 1);
	CHECK_EQ(load_relaxed(&ld->connected), 4);
	close(fd);
	term();
}

TEST(loader_is_refused)
{
	listening();
	close(listener);
	with(REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK(load_relaxed(&ld->errors[LOAD_CONNECT]) >= 1);
	CHECK_EQ(ld->causes.list[0].err, ECONNREFUSED);
	CHECK(ld->until <= ld->now + 200 * MS);
	/* Not at once again, and again. */
	uint64_t before = load_relaxed(&ld->errors[LOAD_CONNECT]);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(ask(), LOAD_WAIT);
	CHECK(load_relaxed(&ld->errors[LOAD_CONNECT]) <= before + 1 + (uint64_t)((nanotime() - ld->opened) / (10 * MS)));
	store_relaxed(&ld->stop, true);
	CHECK_EQ(settle(), LOAD_OVER);
	load_free(ld);
}

TEST(loader_early_answer)
{
	enum { BIG = 32 << 20 };
	listening();
	char *big = malloc(BIG + 1);
	int n = sprintf(big, "POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n", BIG - 100);
	memset(big + n, 'x', (size_t)(BIG - n));
	big[BIG] = '\0';
	with(big);
	free(big);
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK(ld->conns[0].rest != NULL);
	int fd = server();
	says(fd, ANSWER); /* without having read */
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK_EQ(load_relaxed(&ld->requests), 1);
	CHECK_EQ(ld->causes.n, 0);
	CHECK_EQ(load_relaxed(&ld->connected), 2);
	close(fd);
	term();
}

TEST(loader_waits_for_answers_at_the_end)
{
	listening();
	conf.nconns = 2;
	conf.timeout = 30 * MS;
	with(REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	int one = server(), two = server();
	store_relaxed(&ld->stop, true);
	CHECK_EQ(ask(), LOAD_WAIT);
	takes(one, REQUEST);
	says(one, ANSWER);
	CHECK_EQ(ask(), LOAD_WAIT);
	CHECK_EQ(load_relaxed(&ld->requests), 1);
	CHECK(ld->ending);
	while (ask() == LOAD_WAIT) /* the other is given up */
		pass();
	CHECK_EQ(load_relaxed(&ld->errors[LOAD_TIMEOUT]), 1);
	CHECK_EQ(load_relaxed(&ld->requests), 1);
	close(one);
	close(two);
	term();
}

TEST(loader_paces)
{
	listening();
	conf.nconns = 2;
	conf.interval = 20.0 * (double)MS;
	conf.offset = 0.5;
	conf.number = 4;
	with(REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	int fd[2] = {server(), server()};
	int64_t start = ld->start;
	uint64_t answered = 0;
	enum loadask what;
	while ((what = ask()) == LOAD_WAIT) {
		struct pollfd pfd[2] = {{.fd = fd[0], .events = POLLIN}, {.fd = fd[1], .events = POLLIN}};
		pass();
		poll(pfd, 2, 0);
		for (int i = 0; i < 2; i++) {
			if (!(pfd[i].revents & POLLIN))
				continue;
			takes(fd[i], REQUEST);
			/* Never before its time. */
			CHECK(nanotime() >= start + 10 * MS + (int64_t)answered * 20 * MS);
			answered++;
			says(fd[i], ANSWER);
		}
	}
	CHECK_EQ(what, LOAD_OVER);
	CHECK_EQ(answered, 4);
	uint64_t response = 0, service = 0;
	for (int i = 0; i < TALLY_SLOTS; i++) {
		response += ld->latency.n[i];
		service += ld->service.n[i];
	}
	CHECK_EQ(response, 4);
	CHECK_EQ(service, 4);
	close(fd[0]);
	close(fd[1]);
	term();
}

/* What was due while the server stalled, until the end, is sent after it. */
TEST(loader_sends_late_what_was_due)
{
	listening();
	conf.interval = 10.0 * (double)MS;
	conf.duration = 95 * MS; /* 10: at 0, 10, ... 90 ms */
	with(REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	int fd = server();
	while (nanotime() < ld->start + 150 * MS) {
		CHECK_EQ(ask(), LOAD_WAIT);
		pass();
	}
	CHECK(!ld->ending);
	for (int i = 0; i < 10; i++) {
		takes(fd, REQUEST);
		says(fd, ANSWER);
		CHECK_EQ(ask(), i < 9 ? LOAD_WAIT : LOAD_OVER);
	}
	CHECK_EQ(load_relaxed(&ld->requests), 10);
	CHECK_EQ(ld->causes.n, 0);
	uint64_t late = 0;
	for (uint32_t i = tally_slot(50000); i < TALLY_SLOTS; i++)
		late += ld->latency.n[i];
	CHECK_EQ(late, 10); /* each is at least 60 ms late */
	close(fd);
	term();
}

/* But not for ever: what finds no connection in time is counted as that. */
TEST(loader_gives_up_what_was_due)
{
	listening();
	conf.interval = 10.0 * (double)MS;
	conf.duration = 45 * MS; /* 5 */
	conf.timeout = 30 * MS;
	with(REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	int fd = server();
	while (ask() == LOAD_WAIT)
		pass();
	CHECK_EQ(load_relaxed(&ld->requests), 0);
	CHECK_EQ(load_relaxed(&ld->errors[LOAD_TIMEOUT]), 5);
	CHECK_EQ(ld->causes.n, 2);
	CHECK_EQ(ld->causes.list[0].n, 4); /* not sent */
	CHECK_EQ(ld->causes.list[1].n, 1); /* no answer */
	close(fd);
	term();
}

TEST(loader_of_a_tiny_rate)
{
	listening();
	conf.interval = 1e300;
	conf.offset = 0.5;
	with(REQUEST);
	CHECK_EQ(settle(), LOAD_WAIT);
	CHECK(ld->until > ld->now);
	store_relaxed(&ld->stop, true);
	CHECK_EQ(settle(), LOAD_OVER);
	term();
}

static void answering(int i)
{
	if (i == 0) {
		load_run(ld);
		return;
	}
	int fd = server();
	for (int k = 0; k < 200; k++) {
		takes(fd, REQUEST);
		says(fd, ANSWER);
	}
	close(fd);
}

TEST(loader_runs_by_itself)
{
	for (int paced = 0; paced < 2; paced++) {
		listening();
		conf.number = 200;
		conf.interval = paced ? 50000 : 0;
		with(REQUEST);
		test_threads(2, answering);
		CHECK_EQ(load_relaxed(&ld->requests), 200);
		CHECK_EQ(ld->causes.n, 0);
		CHECK(!paced || ld->end - ld->start >= 199 * 50000);
		term();
	}
}
