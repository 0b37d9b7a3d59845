/* SPDX-License-Identifier: MIT */
/* pace.h - when requests are due that are made at a constant rate.
 *
 * One schedule a thread, not one a connection as in wrk2: request k of the thread is due
 * at start + k * interval, and any connection that is free takes it.  A connection that
 * waits for a slow answer holds up nobody else's requests, and requests come evenly, not
 * in step on all connections.  Counted from the start each time, so nothing drifts. */
#ifndef LUAPARK_LOAD_PACE_H
#define LUAPARK_LOAD_PACE_H

#include <stdint.h>

/* When request k is due, in ns; never, where that is further than the clock goes.
 * start from 0; interval in ns, above 0. */
static inline int64_t pace_when(int64_t start, double interval, uint64_t k)
{
	double after = (double)k * interval;
	if (after >= 9.2e18 || (int64_t)after > INT64_MAX - start)
		return INT64_MAX;
	return start + (int64_t)after;
}

#endif
