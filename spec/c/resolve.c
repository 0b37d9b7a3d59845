/* SPDX-License-Identifier: MIT */
#include "park/resolve.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/os.h"
#include "park/timer.h"
#include "sim.h"
#include "test.h"

struct question {
	const char *host, *service;
	int status, err;
	int family, port;
	bool loopback, passive;
};

static enum gout ask(G *gp, void *ud)
{
	struct question *q = ud;
	struct resolve *r = resolve_start(&p0, gp, q->host, q->service, q->passive, 0, &q->err);
	if (!r)
		return GOUT_EXIT;
	CHECK(!r->done);
	CHECK_EQ(sim_park(gp, WR_RESOLVE, 0), POLL_READY);
	CHECK(r->done);
	q->status = r->status;
	if (r->status == 0) {
		CHECK(r->list != NULL);
		CHECK_EQ(r->list->ai_socktype, SOCK_STREAM);
		q->family = r->list->ai_family;
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)r->list->ai_addr;
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)r->list->ai_addr;
		q->port = ntohs(q->family == AF_INET ? in4->sin_port : in6->sin6_port);
		q->loopback = q->family == AF_INET ? in4->sin_addr.s_addr == htonl(INADDR_LOOPBACK)
						   : memcmp(&in6->sin6_addr, &in6addr_loopback, 16) == 0;
	} else {
		CHECK(r->list == NULL);
	}
	resolve_free(r);
	return GOUT_EXIT;
}

static struct question answered(struct question q)
{
	sim_init((struct schedops){0});
	CHECK(sim_run(ask, &q) == NULL);
	CHECK_EQ(gcount(), 0);
	CHECK_EQ(p0.nevent, 0);
	sim_term();
	return q;
}

TEST(resolve_localhost)
{
	struct question q = answered((struct question){.host = "localhost", .service = "80"});
	CHECK_EQ(q.err, 0);
	CHECK_EQ(q.status, 0);
	CHECK_EQ(q.port, 80);
	CHECK(q.loopback);
}

TEST(resolve_number)
{
	struct question q = answered((struct question){.host = "127.0.0.1", .service = "65535"});
	CHECK_EQ(q.status, 0);
	CHECK_EQ(q.family, AF_INET);
	CHECK_EQ(q.port, 65535);
	CHECK(q.loopback);
}

TEST(resolve_without_service)
{
	struct question q = answered((struct question){.host = "127.0.0.1"});
	CHECK_EQ(q.status, 0);
	CHECK_EQ(q.port, 0);
}

TEST(resolve_passive)
{
	struct question q = answered((struct question){.service = "8080", .passive = true});
	CHECK_EQ(q.status, 0);
	CHECK_EQ(q.port, 8080);
	CHECK(!q.loopback);
}

TEST(resolve_unknown_service)
{
	struct question q = answered((struct question){.host = "127.0.0.1", .service = "no-such-service"});
	CHECK_EQ(q.err, 0);
	CHECK(q.status < 0);
}

TEST(resolve_refuses_to_start)
{
	struct question q = answered((struct question){0});
	CHECK_EQ(q.err, UV_EINVAL);
}

TEST(resolve_refuses_long_name)
{
	static char host[5000];
	memset(host, 'a', sizeof host - 1);
	struct question q = answered((struct question){.host = host, .service = "80"});
	CHECK(q.err < 0);
}

/* All at once, more than libuv has threads for. */
TEST(resolve_many)
{
	static struct question q[50];
	sim_init((struct schedops){0});
	for (int i = 0; i < 50; i++) {
		q[i] = (struct question){.host = "127.0.0.1", .service = "1"};
		sim_go(ask, &q[i]);
	}
	CHECK(mstart(&m0, &p0) == NULL);
	for (int i = 0; i < 50; i++)
		CHECK(q[i].status == 0 && q[i].loopback);
	sim_term();
}

/* Freed under way ------------------------------------------------------------ */

static enum gout forget(G *gp, void *ud)
{
	int err;
	(void)ud;
	struct resolve *r = resolve_start(&p0, gp, "127.0.0.1", "80", false, 0, &err);
	CHECK(r != NULL);
	resolve_free(r);
	CHECK_EQ(sim_park(gp, WR_SLEEP, timer_when(nanotime(), 3000000)), 0); /* nobody else wakes it */
	CHECK(gp->flags & GF_TIMEOUT);
	return GOUT_EXIT;
}

TEST(resolve_free_before_done)
{
	sim_init((struct schedops){0});
	for (int i = 0; i < 20; i++)
		sim_go(forget, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	CHECK_EQ(gcount(), 0);
	sim_term();
}

/* What is still under way at the end of the poller is freed there. */
static enum gout abandon(G *gp, void *ud)
{
	int err;
	(void)ud;
	struct resolve *r = resolve_start(&p0, gp, "127.0.0.1", "80", false, 0, &err);
	CHECK(r != NULL);
	resolve_free(r);
	return GOUT_EXIT;
}

TEST(resolve_free_and_end)
{
	sim_init((struct schedops){0});
	for (int i = 0; i < 20; i++)
		sim_go(abandon, NULL);
	CHECK(mstart(&m0, &p0) == NULL);
	sim_term();
}

static void block(uv_work_t *w)
{
	uv_sem_wait(w->data);
}

static void nothing(uv_work_t *w, int status)
{
	(void)w;
	(void)status;
}

/* The deadline comes first: all of libuv's threads are busy. */
static enum gout timesout(G *gp, void *ud)
{
	int err;
	struct resolve *r = resolve_start(&p0, gp, "127.0.0.1", "80", false, 0, &err);
	CHECK(r != NULL);
	CHECK_EQ(sim_park(gp, WR_RESOLVE, timer_when(nanotime(), 2000000)), POLL_TIMEOUT);
	CHECK(gp->flags & GF_TIMEOUT);
	CHECK(!r->done);
	resolve_free(r);
	for (int i = 0; i < 4; i++)
		uv_sem_post(ud);
	CHECK_EQ(sim_park(gp, WR_USER, timer_when(nanotime(), 3000000)), 0);
	CHECK(gp->flags & GF_TIMEOUT);
	return GOUT_EXIT;
}

TEST(resolve_timeout)
{
	uv_work_t work[4];
	uv_sem_t sem;
	sim_init((struct schedops){0});
	uv_sem_init(&sem, 0);
	for (int i = 0; i < 4; i++) {
		work[i].data = &sem;
		CHECK_EQ(uv_queue_work(netpoll_loop(&p0), &work[i], block, nothing), 0);
	}
	CHECK(sim_run(timesout, &sem) == NULL);
	CHECK_EQ(gcount(), 0);
	sim_term();
	uv_sem_destroy(&sem);
}

/* Done, but the one who asked was killed meanwhile. */
TEST(resolve_done_after_kill)
{
	int err;
	sim_init((struct schedops){0});
	G *gp = gfget(&p0);
	struct resolve *r = resolve_start(&p0, gp, "127.0.0.1", "80", false, 0, &err);
	CHECK(r != NULL);
	for (netpoll(&p0); !r->done; netpoll(&p0))
		netblock(&p0, -1);
	CHECK_EQ(readgstatus(gp), Gdead);
	resolve_free(r);
	sim_term();
}
