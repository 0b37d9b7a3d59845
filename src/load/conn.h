/* SPDX-License-Identifier: MIT */
/* conn.h - what loader.c and conn.c know of each other. */
#ifndef LUAPARK_LOAD_CONN_H
#define LUAPARK_LOAD_CONN_H

#include "load/loader.h"

#define CONN_NONE UINT32_MAX

/* Begins to connect, at ld->now. */
void conn_open(struct loader *ld, struct conn *c);
/* Closes; what it waited for is lost. */
void conn_close(struct loader *ld, struct conn *c);
/* Something goes wrong: counts it, and begins again. */
void conn_fail(struct loader *ld, struct conn *c, enum loadclass class, int err, const char *text);
/* What epoll says of it.  True: it is to be read. */
bool conn_event(struct loader *ld, struct conn *c, uint32_t events);
/* Reads what ld->reading has, up to a response that is to be shown (true) or all of it. */
bool conn_read(struct loader *ld);
/* cur's response was shown: counts it. */
void conn_answered(struct loader *ld, struct conn *c);
/* Sends, at ld->now. */
void conn_send(struct loader *ld, struct conn *c, const char *s, size_t n, uint64_t heads);

/* c may send its next request: by turns (loader.c). */
void load_isfree(struct loader *ld, struct conn *c);
/* Comes back to c at that time (loader.c). */
void load_later(struct loader *ld, struct conn *c, int64_t when);
void load_count(struct loader *ld, enum loadclass class, int err, const char *text);

static inline void bump(atomic_u64 *n, uint64_t by)
{
	store_relaxed(n, load_relaxed(n) + by); /* one writer */
}

#endif
