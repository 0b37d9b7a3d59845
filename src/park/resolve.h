/* SPDX-License-Identifier: MIT */
/* resolve.h - names to addresses, on libuv's thread pool, the G parked. */
#ifndef LUAPARK_PARK_RESOLVE_H
#define LUAPARK_PARK_RESOLVE_H

#include <netdb.h>

#include "park/netpoll.h"

struct resolve {
	uv_getaddrinfo_t req;
	struct waiter waiter;
	bool done;
	int status;	       /* 0, or a UV_EAI_ code */
	struct addrinfo *list; /* the answer; ours until resolve_free */
};

/* Starts looking up host and service (a number or a name, may be NULL) for
 * stream sockets of a family (0: any).  gp, about to park, is woken with POLL_READY at the end.  NULL
 * and *err (a UV_ code) when it cannot even start. */
struct resolve *resolve_start(P *pp, G *gp, const char *host, const char *service, bool passive, int family,
			      int *err);

/* Forgets r; if it is still under way it is freed when libuv is done with it. */
void resolve_free(struct resolve *r);

#endif
