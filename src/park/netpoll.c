/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "park/netpoll.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/timerfd.h>
#endif

#include "base/os.h"

struct netpoll {
	uv_loop_t loop;
	uv_async_t wake; /* also keeps the loop alive, so that it blocks */
	int64_t armed;	 /* when the sleep's timer fires, ns; 0: not set */
#ifdef __linux__
	int timerfd;
	uv_poll_t timer;
#else
	uv_timer_t timer;
#endif
};

static const int uvevents[2] = {[POLL_READ] = UV_READABLE | UV_DISCONNECT, [POLL_WRITE] = UV_WRITABLE};

static void check(int err)
{
	if (err != 0)
		throw("libuv refused to set up the poller");
}

static void onwake(uv_async_t *h)
{
	(void)h;
}

#ifdef __linux__
static void ontimer(uv_poll_t *h, int status, int events)
{
	(void)status;
	(void)events;
	struct netpoll *np = h->data;
	uint64_t n;
	ssize_t ignored = read(np->timerfd, &n, sizeof n);
	(void)ignored;
	np->armed = 0;
}

static void sleep_init(struct netpoll *np)
{
	np->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (np->timerfd < 0)
		throw("timerfd_create failed");
	check(uv_poll_init(&np->loop, &np->timer, np->timerfd));
	np->timer.data = np;
	check(uv_poll_start(&np->timer, UV_READABLE, ontimer));
}

static void sleep_until(struct netpoll *np, int64_t when)
{
	struct itimerspec t = {.it_value = {when / 1000000000, when % 1000000000}};
	if (timerfd_settime(np->timerfd, TFD_TIMER_ABSTIME, &t, NULL) != 0)
		throw("timerfd_settime failed");
}
#else
static void ontimer(uv_timer_t *h)
{
	((struct netpoll *)h->data)->armed = 0;
}

static void sleep_init(struct netpoll *np)
{
	check(uv_timer_init(&np->loop, &np->timer));
	np->timer.data = np;
}

static void sleep_until(struct netpoll *np, int64_t when)
{
	int64_t ns = when - nanotime();
	uv_update_time(&np->loop);
	check(uv_timer_start(&np->timer, ontimer, ns <= 0 ? 0 : (uint64_t)(ns + 999999) / 1000000, 0));
}
#endif

void netpoll_init(P *pp)
{
	struct netpoll *np = pp->netpoll = xcalloc(1, sizeof *np);
	check(uv_loop_init(&np->loop));
	check(uv_async_init(&np->loop, &np->wake, onwake));
	sleep_init(np);
}

static void closeall(uv_handle_t *h, void *unused)
{
	(void)unused;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

void netpoll_term(P *pp)
{
	struct netpoll *np = pp->netpoll;
	uv_walk(&np->loop, closeall, NULL);
	while (uv_run(&np->loop, UV_RUN_DEFAULT) != 0)
		;
	if (uv_loop_close(&np->loop) != 0)
		throw("a libuv loop would not close");
#ifdef __linux__
	close(np->timerfd);
#endif
	free(np);
	pp->netpoll = NULL;
}

uv_loop_t *netpoll_loop(P *pp)
{
	return &pp->netpoll->loop;
}

void netpoll(P *pp, int64_t until)
{
	struct netpoll *np = pp->netpoll;
	if (until > 0 && until != np->armed) {
		sleep_until(np, until);
		np->armed = until;
	}
	uv_run(&np->loop, until == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
}

void netpoll_wake(P *pp)
{
	uv_async_send(&pp->netpoll->wake);
}

bool waiter_ready(struct waiter *w, int32_t wake)
{
	bool waits = waiter_iswaiting(w);
	if (waits)
		goreadylast(w->gp, wake);
	w->gp = NULL;
	return waits;
}

static void onpoll(uv_poll_t *h, int status, int events);

static int arm(struct polldesc *pd, int events)
{
	pd->armed = events;
	return events ? uv_poll_start(&pd->handle, events, onpoll) : uv_poll_stop(&pd->handle);
}

static void onpoll(uv_poll_t *h, int status, int events)
{
	struct polldesc *pd = h->data;
	/* On an error let everybody try: the system call will say what it is. */
	if (status < 0)
		events = UV_READABLE | UV_WRITABLE;
	int keep = pd->armed;
	for (int m = POLL_READ; m <= POLL_WRITE; m++)
		if ((events & uvevents[m]) && !waiter_ready(&pd->waiter[m], POLL_READY))
			keep &= ~uvevents[m];
	if (keep != pd->armed)
		arm(pd, keep);
}

struct polldesc *pollopen(P *pp, int fd, int *err)
{
	struct polldesc *pd = xcalloc(1, sizeof *pd);
	*err = -uv_poll_init(&pp->netpoll->loop, &pd->handle, fd);
	if (*err != 0) {
		free(pd);
		return NULL;
	}
	pd->handle.data = pd;
	return pd;
}

int pollwait(struct polldesc *pd, enum pollmode mode, G *gp)
{
	if (waiter_iswaiting(&pd->waiter[mode]))
		return EBUSY;
	if ((pd->armed & uvevents[mode]) != uvevents[mode]) {
		int err = arm(pd, pd->armed | uvevents[mode]);
		if (err != 0)
			return -err;
	}
	pd->waiter[mode] = waiterof(gp);
	return 0;
}

static void onclose(uv_handle_t *h)
{
	free(h->data);
}

void pollclose(struct polldesc *pd)
{
	waiter_ready(&pd->waiter[POLL_READ], POLL_CLOSED);
	waiter_ready(&pd->waiter[POLL_WRITE], POLL_CLOSED);
	uv_close((uv_handle_t *)&pd->handle, onclose);
}
