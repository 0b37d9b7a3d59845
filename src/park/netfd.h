/* SPDX-License-Identifier: MIT */
/* netfd.h - a stream socket with a read buffer: never blocks, never parks.
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

#include "park/netpoll.h"

enum { NETFD_AGAIN = UV_EAGAIN };

struct netfd {
	int fd; /* -1: closed */
	P *p;
	struct polldesc *pd; /* made at the first wait */
	char *buf;	     /* unread input is buf[r..w) */
	size_t r, w, cap;
	size_t scanned; /* buf[r..r + scanned) holds no newline */
	int err;	/* what reading ended with, told when the buffer is empty */
};

void netfd_init(struct netfd *nf, P *pp, int fd);

/* Frees everything; wakes who waits with POLL_CLOSED.  Idempotent. */
void netfd_close(struct netfd *nf);

/* Starts connecting to addr: 0 when connected at once, NETFD_AGAIN when
 * netfd_connected must be asked after a wait for writing. */
int netfd_connect(struct netfd *nf, P *pp, const struct sockaddr *addr, socklen_t len);
int netfd_connected(struct netfd *nf);

/* A listening socket. */
int netfd_listen(struct netfd *nf, P *pp, const struct sockaddr *addr, socklen_t len, int backlog, bool reuseport);
int netfd_accept(struct netfd *ln, struct netfd *conn);

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

/* Writes what the socket takes: how much. */
ssize_t netfd_write(struct netfd *nf, const char *s, size_t n);

int netfd_shutdown(struct netfd *nf, int how);
int netfd_nodelay(struct netfd *nf, bool on);
/* peer: the remote address, else the local one. */
int netfd_address(struct netfd *nf, bool peer, struct sockaddr_storage *addr);

/* gp, about to park, is woken when nf can be read or written. */
int netfd_wait(struct netfd *nf, enum pollmode mode, G *gp);

#endif
