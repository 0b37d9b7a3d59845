/* SPDX-License-Identifier: MIT */
/* netfd.h - a stream socket with a read buffer: never blocks, never parks.
 *
 * Several Ps may know it (`shared`, from when its handle first leaves its state).  Then
 * each operation holds its lock, through the system call: the kernel has one lock for a
 * TCP socket too.  Each P that waits for it watches it on a loop of its own.  One G
 * waits for reading and one for writing, whatever their Ps: others are told UV_EBUSY.
 *
 * Closing (Go's fdMutex): from then on every call is UV_EBADF; each P that watches stops,
 * asked by mail, and wakes who waits there with POLL_CLOSED; who stops last closes the
 * descriptor.  So no loop ever watches a number that means another file by now.
 *
 * Each call tries, and says NETFD_AGAIN when the caller must wait for the
 * descriptor first (netfd_wait, park, try again): waiting is the Lua floor's,
 * which knows how its G can park.
 *
 * Results: >= 0 is success, below zero a libuv error code (UV_ECONNRESET ...),
 * among them UV_EOF, and NETFD_AGAIN = UV_EAGAIN.  A call on a closed netfd is
 * UV_EBADF. */
#ifndef LUAPARK_PARK_NETFD_H
#define LUAPARK_PARK_NETFD_H

#include <sys/socket.h>

#include "base/lock.h"
#include "park/netpoll.h"
#include "park/obj.h"

enum { NETFD_AGAIN = UV_EAGAIN };

struct netfd {
	struct obj o;	/* its last reference closes it */
	bool shared;	/* set once, by the one P that knows it; all below is under the lock then */
	bool orphan;	/* no reference is left: who stops watching last frees it */
	int fd;		/* -1: closed */
	int closing;	/* the descriptor, closed but for who watches it yet; or -1 */
	struct lock lock;
	struct polldesc *pd;	/* those that watch, one a P; made at its first wait */
	struct waiter turn[2];	/* who waits, by pollmode; it may have ceased to */
	double timeout;		/* seconds that an operation may take; < 0: any time */
	char *buf;		/* unread input is buf[r..w) */
	size_t r, w, cap;
	size_t scanned; /* buf[r..r + scanned) holds no newline */
	int err;	/* what reading ended with, told when the buffer is empty */
};

/* One that is closed, to be opened by the functions below; NULL when memory is out. */
struct netfd *netfd_new(void);

/* The same in memory of the caller's, of a descriptor (-1: closed); it must be closed. */
void netfd_init(struct netfd *nf, int fd);

/* Closes, as above.  Idempotent.  Any thread that may hold a reference. */
void netfd_close(struct netfd *nf);

/* Other Ps will know it.  The P that alone knows it. */
void netfd_share(struct netfd *nf);

/* For the calls below that say so; nothing, while one P alone knows it.  Between the two
 * nothing of Lua's may run. */
static inline void netfd_lock(struct netfd *nf)
{
	if (lp_unlikely(nf->shared))
		lock(&nf->lock);
}

static inline void netfd_unlock(struct netfd *nf)
{
	if (lp_unlikely(nf->shared))
		unlock(&nf->lock);
}

/* Opens nf, which is new.  Starts connecting to addr: 0 when connected at once,
 * NETFD_AGAIN when netfd_connected must be asked after a wait for writing. */
int netfd_connect(struct netfd *nf, const struct sockaddr *addr, socklen_t len);
int netfd_connected(struct netfd *nf);

/* A listening socket: opens nf, and conn, which are new. */
int netfd_listen(struct netfd *nf, const struct sockaddr *addr, socklen_t len, int backlog, bool reuseport);
int netfd_accept(struct netfd *ln, struct netfd *conn);

/* Reading.  Holding netfd_lock, as long as the input is looked at: */

/* The input buffered now; *n its length. */
const char *netfd_input(const struct netfd *nf, size_t *n);
/* Takes n bytes from the buffer. */
void netfd_consume(struct netfd *nf, size_t n);
/* Reads more into the buffer: the number of bytes read, or an error. */
ssize_t netfd_fill(struct netfd *nf);
/* Makes the buffer hold at least one line: its length with the newline. */
ssize_t netfd_line(struct netfd *nf);
/* Makes the buffer hold n bytes or all there is: how many it holds (0 only for n = 0). */
ssize_t netfd_atleast(struct netfd *nf, size_t n);

/* Writes what the socket takes: how much.  (Takes the lock, as all that follow.) */
ssize_t netfd_write(struct netfd *nf, const char *s, size_t n);

int netfd_shutdown(struct netfd *nf, int how);
int netfd_nodelay(struct netfd *nf, bool on);
/* peer: the remote address, else the local one. */
int netfd_address(struct netfd *nf, bool peer, struct sockaddr_storage *addr);

/* What an operation may take, in seconds; < 0: any time.  Nothing is done with it here. */
void netfd_settimeout(struct netfd *nf, double seconds);
double netfd_timeout(struct netfd *nf);

/* gp, about to park, is woken on its P when nf can be read or written.  Owner of that P
 * only. */
int netfd_wait(struct netfd *nf, enum pollmode mode, G *gp);

#endif
