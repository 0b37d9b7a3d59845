/* SPDX-License-Identifier: MIT */
/* Sockets that two Ps watch: who waits, and who closes the descriptor. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "park/netfd.h"
#include "sim.h"
#include "test.h"

static P *p1;
static M m1;
static struct netfd *nf;
static int fd, peer; /* nf's, and the other end */
static G *g0, *g1, *other;

/* Another loop's own descriptors may have its number meanwhile. */
static bool isopen(void)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* nf is shared; g0 waits for reading on p0, and g1 for writing (its buffer is full) on p1. */
static void init(void)
{
	int fds[2];
	char junk[4096] = "";
	sim_init((struct schedops){0});
	p1 = sim_newp(&m1);
	netpoll_init(p1);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	fd = fds[0];
	peer = fds[1];
	while (write(fd, junk, sizeof junk) > 0)
		;
	CHECK((nf = malloc(sizeof *nf)) != NULL);
	netfd_init(nf, fd);
	g0 = sim_waiter(&p0);
	CHECK_EQ(netfd_wait(nf, POLL_READ, g0), 0);
	netfd_share(nf);
	g1 = sim_waiter(p1);
	other = sim_waiter(p1);
	setm(&m1);
	CHECK_EQ(netfd_wait(nf, POLL_WRITE, g1), 0);
	setm(NULL);
}

static void term(void)
{
	CHECK(!isopen());
	close(peer);
	sim_term();
}

static void term1(void)
{
	setm(&m1);
	inboxrun(p1);
	if (p1->netpoll)
		netpoll_term(p1);
	setm(NULL);
}

static void woken(P *pp, G *gp, int32_t wake)
{
	CHECK(runqget(pp) == gp);
	CHECK_EQ(gp->wake, wake);
	CHECK(runqget(pp) == NULL);
}

/* Waiting ------------------------------------------------------------------------ */

TEST(fdlife_one_waits_for_each)
{
	init();
	setm(&m1);
	CHECK_EQ(netfd_wait(nf, POLL_READ, other), UV_EBUSY);
	CHECK_EQ(netfd_wait(nf, POLL_WRITE, other), UV_EBUSY);
	setm(NULL);
	CHECK_EQ(netfd_wait(nf, POLL_WRITE, sim_waiter(&p0)), UV_EBUSY);
	CHECK_EQ(write(peer, "x", 1), 1);
	netpoll(&p0);
	woken(&p0, g0, POLL_READY);
	setm(&m1);
	CHECK_EQ(netfd_wait(nf, POLL_READ, other), 0); /* on its own loop */
	netpoll(p1);
	woken(p1, other, POLL_READY);
	setm(NULL);
	obj_unref(&nf->o);
	term1();
	term();
}

/* Closing ------------------------------------------------------------------------ */

TEST(fdlife_last_watcher_closes)
{
	init();
	netfd_close(nf);
	netfd_close(nf);
	CHECK(nf->fd == -1 && nf->closing == fd && isopen());
	woken(&p0, g0, POLL_CLOSED);
	CHECK(runqget(p1) == NULL); /* it learns of it by mail */
	setm(&m1);
	CHECK_EQ(netfd_wait(nf, POLL_READ, other), UV_EBADF);
	CHECK(inboxrun(p1));
	woken(p1, g1, POLL_CLOSED);
	setm(NULL);
	CHECK(nf->pd == NULL && nf->closing == -1 && !isopen());
	obj_unref(&nf->o);
	term1();
	term();
}

TEST(fdlife_closed_from_another_p)
{
	init();
	setm(&m1);
	netfd_close(nf);
	woken(p1, g1, POLL_CLOSED);
	setm(NULL);
	CHECK(isopen() && inboxrun(&p0));
	woken(&p0, g0, POLL_CLOSED);
	CHECK(!isopen());
	obj_unref(&nf->o);
	term1();
	term();
}

/* Who drops the last reference need not have a P; who watches last frees the socket. */
TEST(fdlife_dropped_without_a_p)
{
	static M m;
	init();
	setm(&m);
	obj_unref(&nf->o);
	setm(NULL);
	CHECK(nf->orphan && isopen());
	CHECK(inboxrun(&p0));
	woken(&p0, g0, POLL_CLOSED);
	CHECK(isopen());
	term1();
	woken(p1, g1, POLL_CLOSED);
	term();
}

TEST(fdlife_closed_then_dropped)
{
	init();
	netfd_close(nf);
	obj_unref(&nf->o);
	CHECK(nf->orphan && isopen());
	term1();
	term();
}

/* Ends of loops ------------------------------------------------------------------ */

TEST(fdlife_loop_ends_before_close)
{
	init();
	setm(&m1);
	netpoll_term(p1);
	setm(NULL);
	CHECK(nf->pd && nf->pd->p == &p0 && nf->pd->next == NULL);
	CHECK_EQ(write(peer, "x", 1), 1);
	netpoll(&p0);
	woken(&p0, g0, POLL_READY); /* others go on */
	netfd_close(nf);
	CHECK(!isopen() && !hasincoming(p1));
	obj_unref(&nf->o);
	term();
}

/* The mail crosses the end of the loop, and comes when the P lives again. */
TEST(fdlife_loop_ends_before_mail)
{
	init();
	netfd_close(nf);
	CHECK(hasincoming(p1) && isopen());
	setm(&m1);
	netpoll_term(p1);
	CHECK(!isopen());
	setm(NULL);
	obj_unref(&nf->o);
	setm(&m1);
	netpoll_init(p1);
	CHECK(inboxrun(p1));
	setm(NULL);
	term1();
	term();
}

TEST(fdlife_loop_ends_last)
{
	init();
	netfd_close(nf);
	obj_unref(&nf->o);
	CHECK(isopen());
	setm(&m1);
	netpoll_term(p1); /* frees it */
	CHECK(!isopen());
	CHECK(inboxrun(p1));
	setm(NULL);
	term();
}

/* Many at once ------------------------------------------------------------------- */

enum { NTHREADS = 4, ROUNDS = 300 };
static M ms[NTHREADS];
static P *ps[NTHREADS];
static atomic_u32 round_, here;

/* Waits until all are here. */
static void meet(void)
{
	uint32_t r = load_relaxed(&round_);
	if (fetch_add_seqcst(&here, 1) == NTHREADS - 1) {
		store_seqcst(&here, 0);
		store_seqcst(&round_, r + 1);
	}
	while (load_seqcst(&round_) == r)
		cpu_relax();
}

static void closer(int i)
{
	P *pp = ps[i];
	setm(&ms[i]);
	netpoll_init(pp);
	G *gp = sim_waiter(pp);
	for (int r = 0; r < ROUNDS; r++) {
		if (i == 0) {
			int fds[2];
			CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
			close(fds[1]);
			CHECK((nf = malloc(sizeof *nf)) != NULL);
			netfd_init(nf, fd = fds[0]);
			netfd_share(nf);
			for (int n = 1; n < NTHREADS; n++)
				obj_ref(&nf->o);
		}
		meet();
		bool waits = netfd_wait(nf, i % 2 ? POLL_READ : POLL_WRITE, gp) == 0;
		if (i == r % NTHREADS || i == (r + 1) % NTHREADS)
			netfd_close(nf);
		else if (i == 3 && r % 8 == 0) {
			netpoll_term(pp);
			netpoll_init(pp);
			waits = false; /* nobody wakes it */
		}
		obj_unref(&nf->o);
		while (waits && runqget(pp) != gp) {
			inboxrun(pp);
			netpoll(pp);
		}
		if (waits)
			sim_waitagain(gp);
		meet();
		inboxrun(pp);
		netpoll(pp);
		meet();
		CHECK(!isopen());
		meet();
	}
	netpoll_term(pp);
	setm(NULL);
}

TEST(fdlife_all_at_once)
{
	sim_init((struct schedops){0});
	for (int i = 0; i < NTHREADS; i++)
		ps[i] = sim_newp(&ms[i]);
	test_threads(NTHREADS, closer);
	sim_term();
}
