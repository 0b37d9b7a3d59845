/* SPDX-License-Identifier: MIT */
#include "park/netfd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/os.h"
#include "park/timer.h"
#include "sim.h"
#include "test.h"

static struct netfd a, b; /* a connected pair */

static void init(void)
{
	int fds[2];
	sim_init((struct schedops){0});
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	netfd_init(&a, fds[0]);
	netfd_init(&b, fds[1]);
}

static void term(void)
{
	netfd_close(&a);
	netfd_close(&b);
	sim_term();
}

static void put(const char *s)
{
	CHECK_EQ(netfd_write(&b, s, strlen(s)), (int64_t)strlen(s));
}

/* The next line of a must be s, newline included. */
static void check_line(const char *s)
{
	size_t n;
	CHECK_EQ(netfd_line(&a), strlen(s));
	const char *in = netfd_input(&a, &n);
	CHECK(n >= strlen(s) && memcmp(in, s, strlen(s)) == 0);
	netfd_consume(&a, strlen(s));
}

/* Reading ------------------------------------------------------------------- */

TEST(netfd_lines)
{
	init();
	CHECK_EQ(netfd_line(&a), NETFD_AGAIN);
	put("one\ntwo\r\n\nfo");
	check_line("one\n");
	check_line("two\r\n");
	check_line("\n");
	CHECK_EQ(netfd_line(&a), NETFD_AGAIN);
	CHECK_EQ(netfd_line(&a), NETFD_AGAIN);
	put("u");
	CHECK_EQ(netfd_line(&a), NETFD_AGAIN);
	put("r\nfive\n");
	check_line("four\n");
	check_line("five\n");
	CHECK_EQ(netfd_line(&a), NETFD_AGAIN);
	term();
}

/* A byte at a time: nothing is looked at twice (scanned), nothing overlooked. */
TEST(netfd_line_by_bytes)
{
	static const char text[] = "ab\n\ncde\n";
	init();
	for (int i = 0, start = 0; text[i]; i++) {
		put((char[]){text[i], 0});
		if (text[i] != '\n') {
			CHECK_EQ(netfd_line(&a), NETFD_AGAIN);
			CHECK_EQ(a.scanned, i + 1 - start);
			continue;
		}
		CHECK_EQ(netfd_line(&a), i + 1 - start);
		netfd_consume(&a, (size_t)(i + 1 - start));
		CHECK_EQ(a.scanned, 0);
		start = i + 1;
	}
	term();
}

/* Part of what was scanned is taken by another kind of read. */
TEST(netfd_line_after_partial_consume)
{
	init();
	put("abcdef");
	CHECK_EQ(netfd_line(&a), NETFD_AGAIN);
	CHECK_EQ(a.scanned, 6);
	CHECK_EQ(netfd_atleast(&a, 4), 4);
	netfd_consume(&a, 4);
	CHECK_EQ(a.scanned, 2);
	put("g\n");
	check_line("efg\n");
	/* A newline that was seen, but lies behind what a read takes. */
	put("x\ny\n");
	CHECK_EQ(netfd_line(&a), 2);
	netfd_consume(&a, 1);
	check_line("\n");
	check_line("y\n");
	term();
}

TEST(netfd_line_at_eof)
{
	init();
	put("whole\nhalf");
	CHECK_EQ(netfd_shutdown(&b, SHUT_WR), 0);
	check_line("whole\n");
	check_line("half");
	CHECK_EQ(netfd_line(&a), UV_EOF);
	CHECK_EQ(netfd_line(&a), UV_EOF);
	CHECK_EQ(netfd_fill(&a), UV_EOF);
	CHECK_EQ(netfd_atleast(&a, 1), UV_EOF);
	CHECK_EQ(netfd_atleast(&a, 0), 0);
	term();
}

TEST(netfd_atleast)
{
	init();
	CHECK_EQ(netfd_atleast(&a, 0), 0);
	CHECK_EQ(netfd_atleast(&a, 1), NETFD_AGAIN);
	put("abc");
	CHECK_EQ(netfd_atleast(&a, 2), 2);
	CHECK_EQ(netfd_atleast(&a, 3), 3);
	CHECK_EQ(netfd_atleast(&a, 4), NETFD_AGAIN);
	put("de");
	CHECK_EQ(netfd_atleast(&a, 4), 4);
	netfd_close(&b);
	CHECK_EQ(netfd_atleast(&a, 100), 5); /* all there is */
	netfd_consume(&a, 5);
	CHECK_EQ(netfd_atleast(&a, 100), UV_EOF);
	term();
}

/* A long text of lines of random length, in writes and reads of random size,
 * lines and counted reads mixed: nothing is lost, doubled or misplaced, at
 * whatever place of the buffer a chunk ends. */
enum { TEXT = 1 << 20 };

TEST(netfd_reads_across_chunks)
{
	static char text[TEXT];
	size_t written = 0, taken = 0;
	init();
	for (size_t i = 0; i < TEXT; i++)
		text[i] = test_rand() % (i < TEXT / 2 ? 40 : 30000) == 0 ? '\n' : (char)('a' + i % 23);
	while (taken < TEXT) {
		size_t want = test_rand() % 20000, have;
		if (want > TEXT - written)
			want = TEXT - written;
		ssize_t n = want > 0 ? netfd_write(&b, text + written, want) : 0;
		CHECK(n >= 0 || n == NETFD_AGAIN);
		written += n > 0 ? (size_t)n : 0;
		if (written == TEXT && b.fd >= 0)
			netfd_close(&b);
		bool line = test_rand() % 4 != 0;
		n = line ? netfd_line(&a) : netfd_atleast(&a, test_rand() % 3000);
		CHECK(n >= 0 || n == NETFD_AGAIN || n == UV_EOF);
		const char *in = netfd_input(&a, &have);
		CHECK(taken + have <= written);
		CHECK(have == 0 || memcmp(in, text + taken, have) == 0);
		if (n <= 0)
			continue;
		CHECK((size_t)n <= have);
		if (line) {
			const char *nl = memchr(text + taken, '\n', TEXT - taken);
			CHECK_EQ(n, nl ? nl + 1 - (text + taken) : (int64_t)(TEXT - taken));
		}
		netfd_consume(&a, (size_t)n);
		taken += (size_t)n;
	}
	CHECK_EQ(netfd_line(&a), UV_EOF);
	term();
}

/* What is read and taken in turn needs no larger buffer. */
TEST(netfd_buffer_stays_small)
{
	static char chunk[10000];
	init();
	memset(chunk, 'x', sizeof chunk - 1);
	chunk[sizeof chunk - 2] = '\n';
	for (int i = 0; i < 200; i++) {
		put(chunk);
		check_line(chunk);
	}
	CHECK(a.cap <= 64 << 10);
	term();
}

TEST(netfd_fill_without_memory)
{
	init();
	put("abc");
	test_failrealloc(1);
	CHECK_EQ(netfd_fill(&a), UV_ENOMEM);
	CHECK_EQ(netfd_fill(&a), 3); /* nothing was lost */
	term();
}

/* Writing ------------------------------------------------------------------- */

TEST(netfd_write_partial)
{
	static char big[8 << 20], got[8 << 20];
	init();
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 7 + i / 251);
	size_t written = 0, taken = 0;
	int nagain = 0;
	while (taken < sizeof big) {
		ssize_t n = written < sizeof big ? netfd_write(&b, big + written, sizeof big - written) : 0;
		CHECK(n >= 0 || n == NETFD_AGAIN);
		nagain += n == NETFD_AGAIN;
		written += n > 0 ? (size_t)n : 0;
		if (netfd_fill(&a) < 0)
			continue;
		size_t have;
		const char *in = netfd_input(&a, &have);
		memcpy(got + taken, in, have);
		netfd_consume(&a, have);
		taken += have;
	}
	CHECK(nagain > 0);
	CHECK(memcmp(big, got, sizeof big) == 0);
	CHECK_EQ(netfd_write(&b, "", 0), 0);
	term();
}

TEST(netfd_write_to_closed)
{
	init();
	netfd_close(&a);
	CHECK_EQ(netfd_write(&b, "x", 1), UV_EPIPE); /* and no SIGPIPE */
	CHECK_EQ(netfd_shutdown(&b, SHUT_WR), 0);
	CHECK_EQ(netfd_write(&b, "x", 1), UV_EPIPE);
	term();
}

/* TCP ------------------------------------------------------------------------ */

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listenon(struct netfd *ln, int port, bool reuseport)
{
	struct sockaddr_in addr = loopback(port);
	return netfd_listen(ln, (struct sockaddr *)&addr, sizeof addr, 16, reuseport);
}

static int portof(struct netfd *nf, bool peer)
{
	struct sockaddr_storage addr;
	CHECK_EQ(netfd_address(nf, peer, &addr), 0);
	CHECK_EQ(addr.ss_family, AF_INET);
	return ntohs(((struct sockaddr_in *)&addr)->sin_port);
}

static int connectto(struct netfd *nf, int port)
{
	struct sockaddr_in addr = loopback(port);
	return netfd_connect(nf, (struct sockaddr *)&addr, sizeof addr);
}

static int32_t waitfor(struct netfd *nf, enum pollmode mode, G *gp)
{
	CHECK_EQ(netfd_wait(nf, mode, gp), 0);
	return sim_park(gp, WR_IO, timer_when(nanotime(), 10 * (int64_t)1000000000));
}

/* Both ends on this G. */
static void connected(G *gp, struct netfd *client, struct netfd *server)
{
	struct netfd ln;
	CHECK_EQ(listenon(&ln, 0, false), 0);
	CHECK_EQ(netfd_accept(&ln, server), NETFD_AGAIN);
	int err = connectto(client, portof(&ln, false));
	CHECK(err == 0 || err == NETFD_AGAIN);
	while (netfd_accept(&ln, server) == NETFD_AGAIN)
		CHECK_EQ(waitfor(&ln, POLL_READ, gp), POLL_READY);
	while ((err = netfd_connected(client)) == NETFD_AGAIN)
		CHECK_EQ(waitfor(client, POLL_WRITE, gp), POLL_READY);
	CHECK_EQ(err, 0);
	netfd_close(&ln);
}

static int option(struct netfd *nf, int level, int name)
{
	int v = -1;
	socklen_t len = sizeof v;
	CHECK_EQ(getsockopt(nf->fd, level, name, &v, &len), 0);
	return v;
}

static enum gout tcp(G *gp, void *ud)
{
	struct netfd c, s;
	(void)ud;
	connected(gp, &c, &s);
	CHECK_EQ(portof(&c, true), portof(&s, false));
	CHECK_EQ(portof(&c, false), portof(&s, true));
	CHECK(option(&c, IPPROTO_TCP, TCP_NODELAY) && option(&s, IPPROTO_TCP, TCP_NODELAY));
	CHECK_EQ(netfd_nodelay(&c, false), 0);
	CHECK(!option(&c, IPPROTO_TCP, TCP_NODELAY));
	CHECK_EQ(netfd_write(&c, "hi\n", 3), 3);
	while (netfd_line(&s) == NETFD_AGAIN)
		CHECK_EQ(waitfor(&s, POLL_READ, gp), POLL_READY);
	CHECK_EQ(netfd_line(&s), 3);
	netfd_consume(&s, 3);
	CHECK_EQ(netfd_shutdown(&c, SHUT_WR), 0);
	while (netfd_fill(&s) == NETFD_AGAIN)
		CHECK_EQ(waitfor(&s, POLL_READ, gp), POLL_READY);
	CHECK_EQ(netfd_fill(&s), UV_EOF);
	CHECK_EQ(netfd_write(&s, "bye\n", 4), 4); /* half closed: the other half works */
	while (netfd_line(&c) == NETFD_AGAIN)
		CHECK_EQ(waitfor(&c, POLL_READ, gp), POLL_READY);
	CHECK_EQ(netfd_line(&c), 4);
	netfd_close(&c);
	netfd_close(&s);
	return GOUT_EXIT;
}

static void runtcp(simbody *body)
{
	sim_init((struct schedops){0});
	CHECK(sim_run(body, NULL) == NULL);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

TEST(netfd_tcp)
{
	runtcp(tcp);
}

static enum gout reset(G *gp, void *ud)
{
	struct netfd c, s;
	(void)ud;
	connected(gp, &c, &s);
	CHECK_EQ(netfd_write(&c, "half", 4), 4);
	while (netfd_atleast(&s, 4) == NETFD_AGAIN)
		CHECK_EQ(waitfor(&s, POLL_READ, gp), POLL_READY);
	CHECK_EQ(netfd_line(&s), NETFD_AGAIN);
	CHECK_EQ(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
	netfd_close(&c);
	ssize_t n;
	while ((n = netfd_line(&s)) == NETFD_AGAIN)
		CHECK_EQ(waitfor(&s, POLL_READ, gp), POLL_READY);
	CHECK_EQ(n, UV_ECONNRESET); /* half a line is no last line here */
	CHECK_EQ(netfd_fill(&s), UV_ECONNRESET);
	CHECK_EQ(netfd_atleast(&s, 4), 4); /* what came before is still there */
	netfd_consume(&s, 4);
	CHECK_EQ(netfd_atleast(&s, 1), UV_ECONNRESET);
	CHECK_EQ(netfd_write(&s, "x", 1), UV_EPIPE);
	netfd_close(&s);
	return GOUT_EXIT;
}

TEST(netfd_reset_by_peer)
{
	runtcp(reset);
}

static enum gout resetinwait(G *gp, void *ud)
{
	*(int32_t *)ud = waitfor(&a, POLL_READ, gp);
	CHECK_EQ(netfd_fill(&a), UV_ECONNRESET);
	return GOUT_EXIT;
}

static enum gout resetter(G *gp, void *ud)
{
	int32_t *got = ud;
	connected(gp, &b, &a);
	sim_go(resetinwait, got);
	sim_gosched(gp);
	CHECK_EQ(setsockopt(b.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
	netfd_close(&b);
	return GOUT_EXIT;
}

TEST(netfd_reset_wakes_reader)
{
	int32_t got = 99;
	sim_init((struct schedops){0});
	CHECK(sim_run(resetter, &got) == NULL);
	CHECK_EQ(got, POLL_READY);
	CHECK_EQ(gcount(), 0);
	term();
}

/* A port that nobody listens on. */
static enum gout refused(G *gp, void *ud)
{
	struct netfd ln, c;
	(void)ud;
	CHECK_EQ(listenon(&ln, 0, false), 0);
	int port = portof(&ln, false);
	netfd_close(&ln);
	int err = connectto(&c, port);
	if (err == NETFD_AGAIN) {
		CHECK_EQ(waitfor(&c, POLL_WRITE, gp), POLL_READY);
		err = netfd_connected(&c);
		netfd_close(&c);
	}
	CHECK_EQ(err, UV_ECONNREFUSED);
	CHECK_EQ(c.fd, -1);
	return GOUT_EXIT;
}

TEST(netfd_connect_refused)
{
	runtcp(refused);
}

static enum gout inuse(G *gp, void *ud)
{
	struct netfd one, two, three, four;
	(void)gp;
	(void)ud;
	CHECK_EQ(listenon(&one, 0, false), 0);
	CHECK_EQ(listenon(&two, portof(&one, false), false), UV_EADDRINUSE);
	CHECK_EQ(two.fd, -1);
	CHECK_EQ(listenon(&three, 0, true), 0);
	CHECK_EQ(listenon(&four, portof(&three, false), true), 0); /* SO_REUSEPORT: both */
	netfd_close(&one);
	netfd_close(&three);
	netfd_close(&four);
	return GOUT_EXIT;
}

TEST(netfd_listen_in_use)
{
	runtcp(inuse);
}

static enum gout unixsocket(G *gp, void *ud)
{
	struct netfd ln, c, s;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	(void)ud;
	char dir[] = "/tmp/luapark-test-XXXXXX";
	CHECK(mkdtemp(dir) != NULL);
	strcpy(addr.sun_path, dir);
	strcat(addr.sun_path, "/s");
	CHECK_EQ(netfd_connect(&c, (struct sockaddr *)&addr, sizeof addr), UV_ENOENT);
	CHECK_EQ(netfd_listen(&ln, (struct sockaddr *)&addr, sizeof addr, 4, false), 0);
	CHECK_EQ(netfd_connect(&c, (struct sockaddr *)&addr, sizeof addr), 0);
	while (netfd_accept(&ln, &s) == NETFD_AGAIN)
		CHECK_EQ(waitfor(&ln, POLL_READ, gp), POLL_READY);
	CHECK_EQ(netfd_write(&s, "x\n", 2), 2);
	while (netfd_line(&c) == NETFD_AGAIN)
		CHECK_EQ(waitfor(&c, POLL_READ, gp), POLL_READY);
	netfd_close(&ln);
	netfd_close(&c);
	netfd_close(&s);
	CHECK_EQ(unlink(addr.sun_path), 0);
	CHECK_EQ(rmdir(dir), 0);
	return GOUT_EXIT;
}

TEST(netfd_unix_socket)
{
	runtcp(unixsocket);
}

/* Closed ---------------------------------------------------------------------- */

TEST(netfd_closed_is_ebadf)
{
	struct sockaddr_storage addr;
	struct netfd conn;
	init();
	netfd_close(&a);
	netfd_close(&a);
	CHECK_EQ(a.fd, -1);
	CHECK_EQ(netfd_fill(&a), UV_EBADF);
	CHECK_EQ(netfd_line(&a), UV_EBADF);
	CHECK_EQ(netfd_atleast(&a, 1), UV_EBADF);
	CHECK_EQ(netfd_write(&a, "x", 1), UV_EBADF);
	CHECK_EQ(netfd_shutdown(&a, SHUT_WR), UV_EBADF);
	CHECK_EQ(netfd_nodelay(&a, true), UV_EBADF);
	CHECK_EQ(netfd_address(&a, true, &addr), UV_EBADF);
	CHECK_EQ(netfd_connected(&a), UV_EBADF);
	CHECK_EQ(netfd_accept(&a, &conn), UV_EBADF);
	CHECK_EQ(netfd_wait(&a, POLL_READ, NULL), UV_EBADF);
	term();
}

static enum gout waitclosed(G *gp, void *ud)
{
	*(int32_t *)ud = waitfor(&a, POLL_READ, gp);
	CHECK_EQ(netfd_fill(&a), UV_EBADF);
	return GOUT_EXIT;
}

static enum gout closea(G *gp, void *ud)
{
	(void)ud;
	CHECK_EQ(netfd_wait(&a, POLL_READ, gp), UV_EBUSY);
	netfd_close(&a);
	return GOUT_EXIT;
}

TEST(netfd_close_wakes_who_waits)
{
	int32_t got = 99;
	init();
	sim_inorder();
	sim_go(closea, NULL);
	sim_go(waitclosed, &got);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, POLL_CLOSED);
	CHECK_EQ(gcount(), 0);
	term();
}

/* Each call of the system fails ------------------------------------------------ */

TEST(netfd_read_fails)
{
	init();
	put("abc");
	os_failnth(1, EINTR);
	CHECK_EQ(netfd_fill(&a), 3); /* tried again */
	os_failnth(1, EAGAIN);
	CHECK_EQ(netfd_fill(&a), NETFD_AGAIN);
	put("d");
	CHECK_EQ(netfd_fill(&a), 1);
	os_failnth(1, EIO);
	CHECK_EQ(netfd_fill(&a), UV_EIO);
	CHECK_EQ(netfd_fill(&a), UV_EIO); /* and stays */
	CHECK_EQ(netfd_atleast(&a, 4), 4);
	term();
}

TEST(netfd_write_fails)
{
	init();
	os_failnth(1, EINTR);
	CHECK_EQ(netfd_write(&b, "x", 1), 1);
	os_failnth(1, EAGAIN);
	CHECK_EQ(netfd_write(&b, "x", 1), NETFD_AGAIN);
	os_failnth(1, ENOBUFS);
	CHECK_EQ(netfd_write(&b, "x", 1), UV_ENOBUFS);
	CHECK_EQ(netfd_write(&b, "x", 1), 1);
	term();
}

static enum gout openfails(G *gp, void *ud)
{
	struct netfd ln, c, s;
	(void)ud;
	os_failnth(1, EMFILE); /* socket */
	CHECK_EQ(listenon(&ln, 0, false), UV_EMFILE);
	os_failnth(2, EACCES); /* bind */
	CHECK_EQ(listenon(&ln, 0, false), UV_EACCES);
	CHECK_EQ(ln.fd, -1);
	CHECK_EQ(listenon(&ln, 0, false), 0);
	int port = portof(&ln, false);

	os_failnth(1, EMFILE); /* socket */
	CHECK_EQ(connectto(&c, port), UV_EMFILE);
	os_failnth(2, ENETUNREACH); /* connect */
	CHECK_EQ(connectto(&c, port), UV_ENETUNREACH);
	CHECK_EQ(c.fd, -1);
	os_failnth(2, EINTR); /* connect, and again */
	int err = connectto(&c, port);
	CHECK(err == 0 || err == NETFD_AGAIN);

	CHECK_EQ(waitfor(&ln, POLL_READ, gp), POLL_READY);
	os_failnth(1, EMFILE); /* accept */
	CHECK_EQ(netfd_accept(&ln, &s), UV_EMFILE);
	os_failnth(1, EAGAIN);
	CHECK_EQ(netfd_accept(&ln, &s), NETFD_AGAIN);
	os_failnth(1, ECONNABORTED);
	CHECK_EQ(netfd_accept(&ln, &s), 0); /* not the listener's error */
	netfd_close(&s);
	netfd_close(&c);
	netfd_close(&ln);
	return GOUT_EXIT;
}

TEST(netfd_open_fails)
{
	runtcp(openfails);
}
