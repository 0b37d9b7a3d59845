/* SPDX-License-Identifier: MIT */
#include "park/netpoll.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/os.h"
#include "park/timer.h"
#include "sim.h"
#include "test.h"

static int fds[2]; /* a pair of connected sockets, non-blocking */
static struct polldesc *pd;

static void init(void)
{
	int err;
	sim_init((struct schedops){0});
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	pd = pollopen(&p0, fds[0], &err);
	CHECK(pd && err == 0);
}

static void term(void)
{
	CHECK_EQ(p0.nevent, 0);
	if (pd)
		pollclose(pd);
	close(fds[0]);
	close(fds[1]);
	sim_term();
}

static int32_t waitfor(G *gp, enum pollmode mode, int64_t until)
{
	CHECK_EQ(pollwait(pd, mode, gp), 0);
	return sim_park(gp, WR_IO, until);
}

static void fill(int fd)
{
	static const char zeros[4096];
	while (write(fd, zeros, sizeof zeros) > 0)
		;
	CHECK_EQ(errno, EAGAIN);
}

static void drain(int fd)
{
	char buf[4096];
	while (read(fd, buf, sizeof buf) > 0)
		;
}

/* Wake-ups ------------------------------------------------------------------ */

static enum gout reader(G *gp, void *ud)
{
	char c;
	for (int i = 0; i < *(int *)ud; i++) {
		while (read(fds[0], &c, 1) < 0) {
			CHECK_EQ(errno, EAGAIN);
			CHECK_EQ(waitfor(gp, POLL_READ, 0), POLL_READY);
		}
		sim_log("%c", c);
	}
	return GOUT_EXIT;
}

static enum gout writer(G *gp, void *ud)
{
	for (int i = 0; i < *(int *)ud; i++) {
		char c = (char)('a' + i);
		CHECK_EQ(write(fds[1], &c, 1), 1);
		sim_sleep(gp, 200000);
	}
	return GOUT_EXIT;
}

TEST(netpoll_read)
{
	int n = 5;
	init();
	sim_go(reader, &n);
	sim_go(writer, &n);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 0);
	CHECK_STR(sim_logged, "abcde");
	term();
}

static enum gout waitwrite(G *gp, void *ud)
{
	(void)ud;
	fill(fds[0]);
	CHECK_EQ(waitfor(gp, POLL_WRITE, 0), POLL_READY);
	CHECK(write(fds[0], "x", 1) == 1);
	return GOUT_EXIT;
}

static enum gout drainer(G *gp, void *ud)
{
	(void)ud;
	sim_sleep(gp, 1000000);
	drain(fds[1]);
	return GOUT_EXIT;
}

TEST(netpoll_write)
{
	init();
	sim_go(drainer, NULL);
	sim_go(waitwrite, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 0);
	term();
}

/* One reads, another writes, on one descriptor. */
static enum gout waitread(G *gp, void *ud)
{
	*(int32_t *)ud = waitfor(gp, POLL_READ, 0);
	return GOUT_EXIT;
}

static enum gout answer(G *gp, void *ud)
{
	(void)ud;
	sim_sleep(gp, 500000);
	drain(fds[1]);
	sim_sleep(gp, 500000);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	return GOUT_EXIT;
}

TEST(netpoll_both_ways)
{
	int32_t got = 99;
	init();
	sim_go(waitread, &got);
	sim_go(waitwrite, NULL);
	sim_go(answer, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(got, POLL_READY);
	term();
}

TEST(netpoll_hangup_is_ready)
{
	int32_t got = 99;
	init();
	sim_go(waitread, &got);
	CHECK_EQ(shutdown(fds[1], SHUT_WR), 0);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, POLL_READY);
	term();
}

TEST(netpoll_pipe_error_is_ready)
{
	int32_t got = 99;
	int err, pipefds[2];
	init();
	pollclose(pd);
	CHECK_EQ(pipe(pipefds), 0);
	fcntl(pipefds[0], F_SETFL, O_NONBLOCK);
	pd = pollopen(&p0, pipefds[0], &err);
	CHECK(pd != NULL);
	sim_go(waitread, &got);
	close(pipefds[1]);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, POLL_READY);
	pollclose(pd);
	pd = NULL;
	close(pipefds[0]);
	term();
}

/* Many descriptors, and only those with input wake. */
enum { NPAIR = 50 };

static struct {
	int fd[2];
	struct polldesc *pd;
	bool woken;
} pairs[NPAIR];

static enum gout manywait(G *gp, void *ud)
{
	int i = *(int *)ud;
	CHECK_EQ(pollwait(pairs[i].pd, POLL_READ, gp), 0);
	pairs[i].woken = sim_park(gp, WR_IO, 0) == POLL_READY;
	return GOUT_EXIT;
}

TEST(netpoll_many)
{
	static int no[NPAIR];
	int err;
	init();
	for (int i = 0; i < NPAIR; i++) {
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i].fd), 0);
		pairs[i].pd = pollopen(&p0, pairs[i].fd[0], &err);
		no[i] = i;
		G *gp = sim_go(manywait, &no[i]);
		if (i % 3 == 0)
			CHECK_EQ(write(pairs[i].fd[1], "x", 1), 1);
		else
			gsetdaemon(gp, true); /* waits for ever */
	}
	CHECK(mstart(&m0, &p0) == NULL);
	for (int i = 0; i < NPAIR; i++) {
		CHECK_EQ(pairs[i].woken, i % 3 == 0);
		pollclose(pairs[i].pd);
		close(pairs[i].fd[0]);
		close(pairs[i].fd[1]);
	}
	term();
}

/* Timeouts ------------------------------------------------------------------ */

static enum gout impatient(G *gp, void *ud)
{
	(void)ud;
	int64_t start = nanotime();
	CHECK_EQ(waitfor(gp, POLL_READ, timer_when(start, 3000000)), POLL_TIMEOUT);
	CHECK(gp->flags & GF_TIMEOUT);
	CHECK(nanotime() - start >= 3000000);
	/* It waits for something else now; the old wait's event is not for it. */
	CHECK_EQ(write(fds[1], "x", 1), 1);
	start = nanotime();
	CHECK_EQ(sim_park(gp, WR_USER, timer_when(start, 10000000)), 0);
	CHECK(nanotime() - start >= 10000000);
	CHECK_EQ(pd->armed, 0); /* disarmed: nobody waited for it */
	/* And a new wait finds the input at once. */
	CHECK_EQ(waitfor(gp, POLL_READ, timer_when(nanotime(), 10 * (int64_t)1000000000)), POLL_READY);
	CHECK(!(gp->flags & GF_TIMEOUT));
	CHECK(gp->timer == NULL);
	return GOUT_EXIT;
}

TEST(netpoll_timeout_and_later_event)
{
	init();
	CHECK(sim_run(impatient, NULL) == NULL);
	CHECK_EQ(gcount(), 0);
	term();
}

/* Another G in the slot of one that died is not taken for it. */
static enum gout dies(G *gp, void *ud)
{
	(void)ud;
	CHECK_EQ(waitfor(gp, POLL_READ, timer_when(nanotime(), 1000000)), POLL_TIMEOUT);
	return GOUT_EXIT;
}

static enum gout reborn(G *gp, void *ud)
{
	CHECK(gp == ud);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	CHECK_EQ(sim_park(gp, WR_SLEEP, timer_when(nanotime(), 5000000)), 0);
	CHECK(gp->flags & GF_TIMEOUT);
	return GOUT_EXIT;
}

TEST(netpoll_event_after_death)
{
	init();
	G *gp = sim_go(dies, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK(sim_run(reborn, gp) == NULL);
	CHECK_EQ(gcount(), 0);
	term();
}

/* Arming --------------------------------------------------------------------- */

static enum gout waittwice(G *gp, void *ud)
{
	char c;
	(void)ud;
	CHECK_EQ(pd->armed, 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(waitfor(gp, POLL_READ, 0), POLL_READY);
		CHECK(read(fds[0], &c, 1) == 1);
		CHECK(pd->armed & UV_READABLE); /* stays, for the next wait */
	}
	/* Readable, and nobody waits: it is disarmed rather than spun on. */
	CHECK_EQ(write(fds[1], "x", 1), 1);
	sim_sleep(gp, 3000000);
	CHECK_EQ(pd->armed, 0);
	CHECK_EQ(waitfor(gp, POLL_READ, 0), POLL_READY);
	/* Writable all the time: armed by who waits, disarmed after. */
	CHECK_EQ(waitfor(gp, POLL_WRITE, 0), POLL_READY);
	CHECK(pd->armed & UV_WRITABLE);
	sim_sleep(gp, 3000000);
	CHECK(!(pd->armed & UV_WRITABLE));
	return GOUT_EXIT;
}

TEST(netpoll_stays_armed_until_nobody_waits)
{
	int n = 2;
	init();
	sim_go(writer, &n);
	sim_go(waittwice, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 0);
	term();
}

static enum gout second(G *gp, void *ud)
{
	(void)ud;
	CHECK_EQ(pollwait(pd, POLL_READ, gp), EBUSY);
	CHECK_EQ(pollwait(pd, POLL_WRITE, gp), 0);
	CHECK_EQ(sim_park(gp, WR_IO, 0), POLL_READY);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	return GOUT_EXIT;
}

TEST(netpoll_second_reader_is_ebusy)
{
	int32_t got = 99;
	init();
	sim_inorder();
	sim_go(second, NULL);
	sim_go(waitread, &got);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(got, POLL_READY);
	CHECK_EQ(gcount(), 0);
	term();
}

/* Closing -------------------------------------------------------------------- */

static enum gout waitwriteclosed(G *gp, void *ud)
{
	fill(fds[0]);
	*(int32_t *)ud = waitfor(gp, POLL_WRITE, 0);
	return GOUT_EXIT;
}

static enum gout closer(G *gp, void *ud)
{
	(void)ud;
	sim_sleep(gp, 1000000);
	pollclose(pd);
	pd = NULL;
	close(fds[0]);
	fds[0] = -1;
	return GOUT_EXIT;
}

TEST(netpoll_close_wakes_both)
{
	int32_t r = 99, w = 99;
	init();
	sim_go(waitread, &r);
	sim_go(waitwriteclosed, &w);
	sim_go(closer, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(r, POLL_CLOSED);
	CHECK_EQ(w, POLL_CLOSED);
	CHECK_EQ(gcount(), 0);
	term();
}

/* Input and close in one turn: whoever is first, it wakes once. */
static enum gout writeandclose(G *gp, void *ud)
{
	(void)ud;
	sim_sleep(gp, 500000);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	netpoll(&p0);
	return closer(gp, NULL);
}

TEST(netpoll_event_then_close)
{
	int32_t r = 99;
	init();
	sim_go(waitread, &r);
	sim_go(writeandclose, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(r, POLL_READY);
	CHECK_EQ(gcount(), 0);
	term();
}

TEST(netpoll_close_after_kill)
{
	int32_t r = 99;
	init();
	gsetdaemon(sim_go(waitread, &r), true);
	CHECK(mstart(&m0, &p0) == NULL);
	gkillall();
	CHECK(!waiter_ready(&pd->waiter[POLL_READ], POLL_READY));
	CHECK_EQ(gcount(), 0);
	term();
}

TEST(netpoll_open_refuses)
{
	int err = 0;
	init();
	CHECK(pollopen(&p0, 9999, &err) == NULL);
	CHECK_EQ(err, EBADF);
	int fd = open("/proc/self/exe", O_RDONLY);
	CHECK(fd >= 0);
	CHECK(pollopen(&p0, fd, &err) == NULL);
	CHECK(err > 0);
	close(fd);
	term();
}

/* The sleep ------------------------------------------------------------------ */

TEST(netpoll_blocks_until)
{
	init();
	netpoll(&p0); /* as the scheduler does: it tells the kernel what to watch */
	int64_t start = nanotime();
	netblock(&p0, start + 2500000);
	CHECK(nanotime() - start >= 2500000);
	start = nanotime();
	netblock(&p0, 0);
	netblock(&p0, 1); /* long past */
	netblock(&p0, start);
	CHECK(nanotime() - start < 1000000000);
	start = nanotime();
	netblock(&p0, start + 1000000);
	CHECK(nanotime() - start >= 1000000);
	term();
}

/* Does not block, whatever is armed. */
TEST(netpoll_does_not_block)
{
	init();
	CHECK_EQ(pollwait(pd, POLL_READ, sim_waiter(&p0)), 0);
	int64_t start = nanotime();
	for (int i = 0; i < 100; i++)
		netpoll(&p0);
	CHECK(nanotime() - start < 1000000000);
	term();
}

/* An event ends the sleep and nothing more: Gs are readied by netpoll, when the P is no
 * longer idle. */
TEST(netpoll_block_readies_nobody)
{
	init();
	G *gp = sim_waiter(&p0);
	CHECK_EQ(pollwait(pd, POLL_READ, gp), 0);
	netpoll(&p0);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	netblock(&p0, -1);
	netblock(&p0, -1); /* it stays */
	CHECK_EQ(readgstatus(gp), Gwaiting);
	netpoll(&p0);
	CHECK(runqget(&p0) == gp);
	CHECK_EQ(gp->wake, POLL_READY);
	term();
}

/* What is armed when there is no other event is told to the kernel before the sleep, even if
 * a callback armed it. */
TEST(netpoll_leaves_nothing_untold)
{
	init();
	netpoll(&p0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(write(fds[1], "x", 1), 1);
		G *gp = sim_waiter(&p0);
		CHECK_EQ(pollwait(pd, POLL_READ, gp), 0);
		netpoll(&p0); /* wakes it; the next event finds nobody */
		CHECK(runqget(&p0) == gp);
		netpoll(&p0);
		CHECK_EQ(pd->armed, 0);
		int64_t start = nanotime();
		netblock(&p0, start + 1000000); /* disarmed in the kernel, too: it does not end at once */
		CHECK(nanotime() - start >= 1000000);
		drain(fds[0]);
	}
	term();
}

/* A wake-up comes from any thread, and is sticky: it may come before the sleep. */
static void waker(void *ud)
{
	(void)ud;
	netpoll_wake(&p0);
}

TEST(netpoll_wake_ends_sleep)
{
	uv_thread_t t;
	init();
	netpoll(&p0);
	netpoll_wake(&p0);
	netpoll_wake(&p0);
	netblock(&p0, -1);
	netpoll(&p0); /* takes both */
	int64_t start = nanotime();
	netblock(&p0, start + 1000000);
	CHECK(nanotime() - start >= 1000000);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(uv_thread_create(&t, waker, NULL), 0);
		netblock(&p0, -1);
		uv_thread_join(&t);
		netpoll(&p0);
	}
	term();
}

/* Whatever else lives in the P's loop ends the sleep. */
static void onasync(uv_async_t *h)
{
	*(bool *)h->data = true;
}

static void ringer(void *ud)
{
	uv_async_send(ud);
}

TEST(netpoll_is_woken_by_another_thread)
{
	bool rang = false;
	uv_async_t a;
	uv_thread_t t;
	init();
	CHECK_EQ(uv_async_init(netpoll_loop(&p0), &a, onasync), 0);
	a.data = &rang;
	netpoll(&p0);
	CHECK_EQ(uv_thread_create(&t, ringer, &a), 0);
	while (!rang) {
		netblock(&p0, -1);
		netpoll(&p0);
	}
	uv_thread_join(&t);
	term();
}
