/* SPDX-License-Identifier: MIT */
#include "park/resolve.h"

#include <stdlib.h>

#include "base/os.h"

static void discard(struct resolve *r)
{
	uv_freeaddrinfo(r->list);
	free(r);
}

static void onresolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct resolve *r = req->data;
	r->status = status;
	r->list = list;
	r->done = true;
	if (r->waiter.gp == NULL)
		discard(r); /* resolve_free came first */
	else
		waiter_ready(&r->waiter, POLL_READY);
}

struct resolve *resolve_start(P *pp, G *gp, const char *host, const char *service, bool passive, int family,
			      int *err)
{
	struct resolve *r = xcalloc(1, sizeof *r);
	struct addrinfo hints = {
		.ai_family = family, /* 0 is AF_UNSPEC */
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG | (passive ? AI_PASSIVE : 0),
	};
	r->req.data = r;
	r->waiter = waiterof(gp);
	*err = uv_getaddrinfo(netpoll_loop(pp), &r->req, onresolved, host, service, &hints);
	if (*err != 0) {
		free(r);
		return NULL;
	}
	return r;
}

void resolve_free(struct resolve *r)
{
	if (r->done) {
		discard(r);
	} else {
		r->waiter.gp = NULL;
		uv_cancel((uv_req_t *)&r->req);
	}
}
