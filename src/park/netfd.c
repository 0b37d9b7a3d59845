/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "park/netfd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"

enum { MINREAD = 16 << 10 };

/* Opening ---------------------------------------------------------------------- */

/* A new stream socket for addr's family in *nf: 0 or an error. */
static int open_for(struct netfd *nf, const struct sockaddr *addr)
{
	netfd_init(nf, -1);
	int fd = os_mayfail() ? -1 : socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	nf->fd = fd;
	return 0;
}

int netfd_nodelay(struct netfd *nf, bool on)
{
	int v = on, err = UV_EBADF;
	netfd_lock(nf);
	if (nf->fd >= 0)
		err = setsockopt(nf->fd, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v) == 0 ? 0 : -errno;
	netfd_unlock(nf);
	return err;
}

int netfd_connect(struct netfd *nf, const struct sockaddr *addr, socklen_t len)
{
	int err = open_for(nf, addr);
	if (err != 0)
		return err;
	if (addr->sa_family != AF_UNIX)
		netfd_nodelay(nf, true); /* as Go does */
	int rc;
	do
		rc = os_mayfail() ? -1 : connect(nf->fd, addr, len);
	while (rc != 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	if (errno == EINPROGRESS)
		return NETFD_AGAIN;
	err = -errno;
	netfd_close(nf);
	return err;
}

/* Holding the lock; the descriptor is open. */
static int connected(int fd)
{
	int err = 0;
	socklen_t len = sizeof err;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		return -errno;
	if (err != 0)
		return -err;
	/* No error may also mean: not yet. */
	struct sockaddr_storage peer;
	len = sizeof peer;
	if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		return 0;
	return errno == ENOTCONN ? NETFD_AGAIN : -errno;
}

int netfd_connected(struct netfd *nf)
{
	netfd_lock(nf);
	int err = nf->fd < 0 ? UV_EBADF : connected(nf->fd);
	netfd_unlock(nf);
	return err;
}

int netfd_listen(struct netfd *nf, const struct sockaddr *addr, socklen_t len, int backlog, bool reuseport)
{
	int on = 1, err = open_for(nf, addr);
	if (err != 0)
		return err;
	nf->o.kind = OBJ_LISTENER;
	setsockopt(nf->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if ((reuseport && setsockopt(nf->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) || os_mayfail() ||
	    bind(nf->fd, addr, len) != 0 || listen(nf->fd, backlog) != 0) {
		err = -errno;
		netfd_close(nf);
		return err;
	}
	return 0;
}

/* Holding the lock.  A descriptor or an error. */
static int acceptone(int ln)
{
	if (ln < 0)
		return UV_EBADF;
	for (;;) {
		int fd = os_mayfail() ? -1 : accept4(ln, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			return fd;
		/* A connection that died in the queue is not the listener's error. */
		if (errno != EINTR && errno != ECONNABORTED)
			return errno == EWOULDBLOCK ? NETFD_AGAIN : -errno;
	}
}

int netfd_accept(struct netfd *ln, struct netfd *conn)
{
	netfd_lock(ln);
	int fd = acceptone(ln->fd);
	netfd_unlock(ln);
	if (fd < 0)
		return fd;
	netfd_init(conn, fd);
	netfd_nodelay(conn, true);
	return 0;
}

/* Reading ---------------------------------------------------------------------- */

const char *netfd_input(const struct netfd *nf, size_t *n)
{
	*n = nf->w - nf->r;
	return nf->buf ? nf->buf + nf->r : "";
}

void netfd_consume(struct netfd *nf, size_t n)
{
	nf->r += n;
	nf->scanned = n < nf->scanned ? nf->scanned - n : 0;
	if (nf->r == nf->w)
		nf->r = nf->w = 0;
}

/* Makes room for MINREAD bytes behind the input. */
static bool makeroom(struct netfd *nf)
{
	if (nf->cap - nf->w >= MINREAD)
		return true;
	if (nf->r > 0 && nf->cap - (nf->w - nf->r) >= MINREAD && nf->r >= nf->w - nf->r) {
		memmove(nf->buf, nf->buf + nf->r, nf->w - nf->r);
		nf->w -= nf->r;
		nf->r = 0;
		return true;
	}
	size_t cap = nf->cap ? nf->cap * 2 : MINREAD;
	char *p = realloc(nf->buf, cap);
	if (!p)
		return false;
	nf->buf = p;
	nf->cap = cap;
	return true;
}

ssize_t netfd_fill(struct netfd *nf)
{
	if (nf->fd < 0)
		return UV_EBADF;
	if (nf->err)
		return nf->err;
	if (!makeroom(nf))
		return UV_ENOMEM;
	for (;;) {
		ssize_t n = os_mayfail() ? -1 : recv(nf->fd, nf->buf + nf->w, nf->cap - nf->w, 0);
		if (n > 0) {
			nf->w += (size_t)n;
			return n;
		}
		if (n == 0)
			return nf->err = UV_EOF;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return NETFD_AGAIN;
		if (errno != EINTR)
			return nf->err = -errno;
	}
}

ssize_t netfd_line(struct netfd *nf)
{
	for (;;) {
		size_t n = nf->w - nf->r;
		if (n > nf->scanned) {
			const char *from = nf->buf + nf->r;
			const char *nl = memchr(from + nf->scanned, '\n', n - nf->scanned);
			if (nl)
				return nl - from + 1;
		}
		nf->scanned = n;
		ssize_t got = netfd_fill(nf);
		if (got < 0) /* a last line may lack its newline */
			return got == UV_EOF && n > 0 ? (ssize_t)n : got;
	}
}

ssize_t netfd_atleast(struct netfd *nf, size_t n)
{
	for (;;) {
		size_t have = nf->w - nf->r;
		if (have >= n)
			return (ssize_t)n;
		ssize_t got = netfd_fill(nf);
		if (got < 0)
			return got == UV_EOF && have > 0 ? (ssize_t)have : got;
	}
}

/* The rest --------------------------------------------------------------------- */

/* Holding the lock. */
static ssize_t put(int fd, const char *s, size_t n)
{
	if (fd < 0)
		return UV_EBADF;
	for (;;) {
		ssize_t rc = os_mayfail() ? -1 : send(fd, s, n, MSG_NOSIGNAL);
		if (rc >= 0)
			return rc;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return NETFD_AGAIN;
		if (errno != EINTR)
			return -errno;
	}
}

ssize_t netfd_write(struct netfd *nf, const char *s, size_t n)
{
	netfd_lock(nf);
	ssize_t rc = put(nf->fd, s, n);
	netfd_unlock(nf);
	return rc;
}

int netfd_shutdown(struct netfd *nf, int how)
{
	netfd_lock(nf);
	int err = nf->fd < 0 ? UV_EBADF : shutdown(nf->fd, how) == 0 ? 0 : -errno;
	netfd_unlock(nf);
	return err;
}

int netfd_address(struct netfd *nf, bool peer, struct sockaddr_storage *addr)
{
	socklen_t len = sizeof *addr;
	int err = UV_EBADF;
	memset(addr, 0, sizeof *addr);
	netfd_lock(nf);
	if (nf->fd >= 0) {
		int rc = peer ? getpeername(nf->fd, (struct sockaddr *)addr, &len)
			      : getsockname(nf->fd, (struct sockaddr *)addr, &len);
		err = rc == 0 ? 0 : -errno;
	}
	netfd_unlock(nf);
	return err;
}

void netfd_settimeout(struct netfd *nf, double seconds)
{
	netfd_lock(nf);
	nf->timeout = seconds;
	netfd_unlock(nf);
}

double netfd_timeout(struct netfd *nf)
{
	netfd_lock(nf);
	double seconds = nf->timeout;
	netfd_unlock(nf);
	return seconds;
}
