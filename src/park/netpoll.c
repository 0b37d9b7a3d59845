/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "park/netpoll.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "park/sudog.h"

struct netpoll {
	uv_loop_t loop;
	uv_async_t wake;
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

void netpoll_init(P *pp)
{
	struct netpoll *np = pp->netpoll = xcalloc(1, sizeof *np);
	check(uv_loop_init(&np->loop));
	np->loop.data = pp;
	check(uv_async_init(&np->loop, &np->wake, onwake));
	store_relaxed(&pp->pollstale, true);
	store_relaxed(&pp->pollfd, uv_backend_fd(&np->loop));
}

static void onclose(uv_handle_t *h)
{
	struct polldesc *pd = h->data;
	if (!pd->kept)
		free(pd);
}

static void closeall(uv_handle_t *h, void *unused)
{
	(void)unused;
	if (uv_is_closing(h))
		return;
	if (h->type != UV_POLL) {
		uv_close(h, NULL);
		return;
	}
	struct polldesc *pd = h->data;
	uv_close(h, onclose);
	if (pd->lost)
		pd->lost(pd);
}

void netpoll_term(P *pp)
{
	struct netpoll *np = pp->netpoll;
	store_relaxed(&pp->pollfd, -1);
	uv_walk(&np->loop, closeall, NULL);
	while (uv_run(&np->loop, UV_RUN_DEFAULT) != 0)
		;
	if (uv_loop_close(&np->loop) != 0)
		throw("a libuv loop would not close");
	free(np);
	pp->netpoll = NULL;
}

uv_loop_t *netpoll_loop(P *pp)
{
	return &pp->netpoll->loop;
}

void netpoll(P *pp)
{
	struct netpoll *np = pp->netpoll;
	do { /* once more where a callback has changed what is armed, and netblock may be next */
		store_relaxed(&pp->pollstale, false);
		uv_run(&np->loop, UV_RUN_NOWAIT);
	} while (load_relaxed(&pp->pollstale) && runqlen(pp) == 0);
}

/* Waits for the loop's own descriptor and leaves the events in it: the callbacks, which
 * ready Gs, may run only when the P is no longer idle.  (netpoll, which comes before, has
 * told the kernel what to watch.) */
void netblock(P *pp, int64_t until)
{
	struct pollfd pfd = {.fd = uv_backend_fd(&pp->netpoll->loop), .events = POLLIN};
	struct timespec t, *limit = NULL;
	if (until >= 0) {
		int64_t ns = until - nanotime();
		if (ns < 0)
			ns = 0;
		t = (struct timespec){ns / 1000000000, ns % 1000000000};
		limit = &t;
	}
	(void)ppoll(&pfd, 1, limit, NULL); /* an interrupted one is as good as an event */
}

void netpoll_wake(P *pp)
{
	uv_async_send(&pp->netpoll->wake);
}

bool waiter_ready(struct waiter *w, int32_t wake)
{
	/* It may stand in a line, too, where somebody can have decided its wait already. */
	bool waits = waiter_iswaiting(w) && (w->gp->sel == 0 || sudogdecide((int32_t)w->gp->sel, DONE_YES));
	if (waits)
		goreadylast(w->gp, wake);
	w->gp = NULL;
	return waits;
}

static void onpoll(uv_poll_t *h, int status, int events);

static int arm(struct polldesc *pd, int events)
{
	pd->armed = events;
	store_relaxed(&((P *)pd->handle.loop->data)->pollstale, true);
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
	pd->p = pp;
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

void pollclose(struct polldesc *pd)
{
	waiter_ready(&pd->waiter[POLL_READ], POLL_CLOSED);
	waiter_ready(&pd->waiter[POLL_WRITE], POLL_CLOSED);
	uv_close((uv_handle_t *)&pd->handle, onclose);
}
