/* SPDX-License-Identifier: MIT */
/* chan.h - channels that several Ps share.
 *
 * The same channel as lua/luapark/chan.lua's, to the letter of Go's, with values as
 * struct val and a lock.  No function here parks: who must wait has its sudog put
 * into the line under the same lock that found out, and parks afterwards; whoever
 * readies it meanwhile goes through its home's inbox, which is not looked at before it
 * has parked.  Any M.
 *
 * Two kinds become ready by themselves, at the time `when` (in seconds, as lp.now() says
 * it): a timer's channel, from which the time can then be received; and a context's, which
 * is closed from then on.  Nothing happens at that moment: whoever looks at the channel looks
 * at the clock, and who waits parks until `when` at most, and then tries again. */
#ifndef LUAPARK_PARK_CHAN_H
#define LUAPARK_PARK_CHAN_H

#include <math.h>

#include "base/lock.h"
#include "park/obj.h"
#include "park/sudog.h"

struct hchan {
	struct obj o;
	struct lock lock; /* all below */
	uint32_t size, n, rx;
	bool closed;
	int32_t rq, sq; /* lines of receivers and senders */
	struct val *buf; /* a ring, oldest at rx; grows up to size as it is needed */
	uint32_t cap;
	double when; /* CHAN_NEVER, but for OBJ_TIMER and OBJ_DONE; */
	double period; /* of a ticker, else 0 */
};

#define CHAN_NEVER INFINITY

enum chanresult { CHAN_BLOCK, CHAN_DONE, CHAN_CLOSED };

/* NULL when memory is out. */
struct hchan *chan_new(uint32_t size);

/* Sends *v, which is then not the caller's any more, unless the answer is CHAN_CLOSED,
 * or CHAN_BLOCK with s == 0.  s: the sudog that waits if the channel is full; its value
 * is *v. */
enum chanresult chan_send(struct hchan *c, struct val *v, int32_t s);

/* Receives into *v.  s: the sudog that waits if there is nothing; in its value is then the
 * time at which it should try again. */
enum chanresult chan_recv(struct hchan *c, struct val *v, int32_t s);

/* Whether an operation could proceed at this moment. */
bool chan_ready(struct hchan *c, bool sends);

/* The shared cases of a select, which share one wait (sudogs.own of all): what a sender
 * brings is in sudogs.val of its sudog, and what is received, too. */
struct selcase {
	struct hchan *c;
	int32_t s;
	int32_t sends;
};

/* Does one of the cases that can proceed, chosen by `random` (not 0); or has all of their
 * sudogs wait.  The locks of all channels are held meanwhile, in the order of their
 * addresses, so that this is one step, as in Go.  The number of the case, from 1; negative
 * if its channel is closed; 0: they wait. */
int32_t chan_select(struct selcase *cases, int32_t n, uint32_t random);

/* False when it was closed already. */
bool chan_close(struct hchan *c);

/* Sets a timer (CHAN_NEVER: stops it; period < 0: leaves that as it is) and has all who wait
 * try again.  Whether it had been set, and what it was set for was not received. */
bool chan_settimer(struct hchan *c, double when, double period);
double chan_when(struct hchan *c);
double chan_period(struct hchan *c);

/* s, whose wait was decided elsewhere, leaves the line it may still stand in. */
void chan_leave(struct hchan *c, bool sends, int32_t s);

uint32_t chan_len(struct hchan *c);
bool chan_isclosed(struct hchan *c);

/* For a channel of the caller's that nobody else knows yet: what it had at home. */
bool chan_push(struct hchan *c, struct val *v);

#endif
