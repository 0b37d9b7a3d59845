/* SPDX-License-Identifier: MIT */
/* fdlife.c - a socket is made, watched by loops, and closed once none watches it.
 *
 * netfd.pd lists the loops that watch, one a P.  Each belongs to its P, and only that P
 * takes it from its loop; the list, and what is said to its members (mailed, kept), is
 * under the socket's lock.  Two things end a watch: a close, by whom it belongs to
 * directly and by others with a mail; and the end of the P's loop, which may cross such
 * a mail: then the mail, which may come years later, finds memory that was kept for it.
 *
 * The descriptor is closed, and the memory freed, by whoever takes the last one away. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "park/netfd.h"

static void destroy(struct netfd *nf)
{
	lock_term(&nf->lock);
	free(nf);
}

static void netfd_free(struct obj *o)
{
	struct netfd *nf = (struct netfd *)o;
	netfd_close(nf);
	netfd_lock(nf);
	bool last = nf->pd == NULL;
	nf->orphan = true;
	netfd_unlock(nf);
	if (last)
		destroy(nf);
}

void netfd_init(struct netfd *nf, int fd)
{
	memset(nf, 0, sizeof *nf);
	obj_init(&nf->o, OBJ_CONN, netfd_free);
	lock_init(&nf->lock, RANK_OBJ);
	nf->fd = fd;
	nf->closing = -1;
	nf->timeout = -1;
}

struct netfd *netfd_new(void)
{
	struct netfd *nf = malloc(sizeof *nf);
	if (nf)
		netfd_init(nf, -1);
	return nf;
}

void netfd_share(struct netfd *nf)
{
	nf->shared = true;
}

/* Holding the lock. */
static void unwatch(struct netfd *nf, struct polldesc *pd)
{
	struct polldesc **at = &nf->pd;
	while (*at != pd)
		at = &(*at)->next;
	*at = pd->next;
}

/* pd watches no more.  lost: its loop ends, so that a mail to it comes too late. */
static void stopped(struct polldesc *pd, bool lost)
{
	struct netfd *nf = pd->nf;
	int fd = -1;
	netfd_lock(nf);
	unwatch(nf, pd);
	pd->kept = lost && pd->mailed;
	bool last = nf->pd == NULL;
	if (last) {
		fd = nf->closing;
		nf->closing = -1;
	}
	last = last && nf->orphan;
	netfd_unlock(nf);
	if (fd >= 0)
		close(fd);
	if (last)
		destroy(nf);
}

static void onlost(struct polldesc *pd)
{
	stopped(pd, true);
}

static struct polldesc *pdof(struct mail *m)
{
	return (struct polldesc *)((char *)m - offsetof(struct polldesc, mail));
}

/* Another P has closed it. */
static void onmail(P *pp, struct mail *m)
{
	struct polldesc *pd = pdof(m);
	(void)pp;
	if (pd->kept) {
		free(pd);
		return;
	}
	pollclose(pd);
	stopped(pd, false);
}

/* The P whose loop this thread may touch, or NULL: the host's is p0's. */
static P *here(void)
{
	const M *mp = getm();
	return mp ? mp->p : &p0;
}

void netfd_close(struct netfd *nf)
{
	const P *pp = here();
	struct mail *mails = NULL;
	netfd_lock(nf);
	int fd = nf->fd;
	if (fd < 0) {
		netfd_unlock(nf);
		return;
	}
	nf->fd = -1;
	free(nf->buf);
	nf->buf = NULL;
	nf->r = nf->w = nf->cap = nf->scanned = 0;
	for (struct polldesc *pd = nf->pd, *next; pd; pd = next) {
		next = pd->next;
		if (pd->p == pp) {
			unwatch(nf, pd);
			pollclose(pd);
			continue;
		}
		pd->mailed = true;
		pd->mail = (struct mail){mails, onmail};
		mails = &pd->mail;
	}
	if (nf->pd) {
		if (nf->o.kind == OBJ_LISTENER) /* nobody shall connect any more, and the port be free */
			shutdown(fd, SHUT_RDWR);
		nf->closing = fd;
		fd = -1;
	}
	netfd_unlock(nf);
	if (fd >= 0)
		close(fd);
	while (mails) { /* after unlock: it takes sched.lock */
		struct mail *m = mails;
		mails = m->next;
		postmail(pdof(m)->p, m);
	}
}

/* Waiting --------------------------------------------------------------------- */

/* Whether somebody waits.  Of a G on another P we cannot see whether it has parked
 * already, but it has come to do so. */
static bool istaken(const struct waiter *w, const P *pp)
{
	return w->gp && load_relaxed(&w->gp->parkseq) == w->seq &&
	       (load_relaxed(&w->gp->p) != pp || waiter_iswaiting(w));
}

/* As pp watches it.  Holding the lock. */
static struct polldesc *watched(struct netfd *nf, P *pp, int *err)
{
	struct polldesc *pd = nf->pd;
	while (pd && pd->p != pp)
		pd = pd->next;
	if (pd || !(pd = pollopen(pp, nf->fd, err)))
		return pd;
	pd->nf = nf;
	pd->lost = onlost;
	pd->next = nf->pd;
	return nf->pd = pd;
}

/* Holding the lock. */
static int enlist(struct netfd *nf, enum pollmode mode, G *gp)
{
	int err = EBADF;
	if (nf->fd < 0)
		return err;
	if (istaken(&nf->turn[mode], gp->p))
		return EBUSY;
	struct polldesc *pd = watched(nf, gp->p, &err);
	if (pd && (err = pollwait(pd, mode, gp)) == 0)
		nf->turn[mode] = waiterof(gp);
	return err;
}

int netfd_wait(struct netfd *nf, enum pollmode mode, G *gp)
{
	netfd_lock(nf);
	int err = enlist(nf, mode, gp);
	netfd_unlock(nf);
	return -err;
}
