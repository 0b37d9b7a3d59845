/* SPDX-License-Identifier: MIT */
/* netpoll.h - parking on descriptors, over one libuv loop a P.
 *
 * An idle M blocks on the loop's own descriptor, until a timer is due (in nanoseconds,
 * where libuv counts milliseconds), an event, or a wake-up from another thread.
 *
 * A descriptor's interest, once registered, stays armed: a connection that
 * waits for its next request costs no epoll_ctl each time.  An event that
 * nobody waits for disarms it.  Only the owner of the P may call in here. */
#ifndef LUAPARK_PARK_NETPOLL_H
#define LUAPARK_PARK_NETPOLL_H

#include <uv.h>

#include "sched/sched.h"

/* One wait of one G, so named that neither a later wait of it nor another G in
 * its slot is ever taken for it. */
struct waiter {
	G *gp;
	uint32_t seq;
};

static inline struct waiter waiterof(G *gp)
{
	return (struct waiter){gp, load_relaxed(&gp->parkseq)};
}

static inline bool waiter_iswaiting(const struct waiter *w)
{
	return w->gp && load_relaxed(&w->gp->parkseq) == w->seq && readgstatus(w->gp) == Gwaiting;
}

/* Readies the waiter if it still waits; false if there was none. */
bool waiter_ready(struct waiter *w, int32_t wake);

/* What a G woken from a poll finds in G.wake. */
enum { POLL_TIMEOUT = 0, POLL_READY = 1, POLL_CLOSED = -1 };

enum pollmode { POLL_READ, POLL_WRITE };

/* A descriptor as one loop watches it (Go's pollDesc). */
struct polldesc {
	uv_poll_t handle;
	P *p;	   /* whose loop it is */
	int armed; /* the events libuv watches for us */
	struct waiter waiter[2]; /* by pollmode */

	/* The owner's (netfd.c). */
	struct netfd *nf;
	struct polldesc *next;
	void (*lost)(struct polldesc *pd); /* the P's loop ends, and watches no more; or NULL */
	struct mail mail;
	bool mailed; /* the mail is on its way */
	bool kept;   /* and frees this, for the loop has ended before it came */
};

void netpoll_init(P *pp);
/* Its descriptors' owners are told (polldesc.lost). */
void netpoll_term(P *pp);

uv_loop_t *netpoll_loop(P *pp);

/* The scheduler's netpoll and netblock. */
void netpoll(P *pp);
void netblock(P *pp, int64_t until);

/* The scheduler's wakenetpoll. */
void netpoll_wake(P *pp);

/* Watches fd, a non-blocking descriptor.  NULL, and *err the errno. */
struct polldesc *pollopen(P *pp, int fd, int *err);

/* gp, about to park, will be woken with POLL_READY when fd can be read or
 * written.  0, or an errno: EBUSY when another G waits for the same. */
int pollwait(struct polldesc *pd, enum pollmode mode, G *gp);

/* Stops watching and wakes who waits with POLL_CLOSED.  The caller may close
 * the descriptor at once, if no other P watches it; pd is gone when libuv next runs. */
void pollclose(struct polldesc *pd);

#endif
