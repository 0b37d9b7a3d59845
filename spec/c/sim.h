/* SPDX-License-Identifier: MIT */
/* sim.h - goroutines without Lua: what the core needs from the floor above,
 * made of C functions.
 *
 * A body is called whenever its G is to go on; what it returns is what a
 * coroutine's end or yield would be (enum gout).  In between it may wait where
 * it stands, on its C stack, as Lua does below a C call. */
#ifndef LUAPARK_SPEC_SIM_H
#define LUAPARK_SPEC_SIM_H

#include "sched/sched.h"

typedef enum gout simbody(G *gp, void *ud);

/* Starts the core.  Members of ops that are NULL are the real thing; netpoll
 * and timers are set up where they are. */
void sim_init(struct schedops ops);
/* Ends it; fails where descriptors were left open. */
void sim_term(void);

/* A new goroutine on p0. */
G *sim_go(simbody *body, void *ud);

/* go, then mstart until nothing is alive; what mstart returned. */
const char *sim_run(simbody *body, void *ud);

/* Parks the running G where it stands; until: ns, 0 for no deadline.  What the
 * waker said. */
int32_t sim_park(G *gp, enum waitreason reason, int64_t until);
void sim_sleep(G *gp, int64_t ns);
void sim_gosched(G *gp);

/* Free C stacks of p0. */
int sim_nfreestacks(void);

/* Appends to a record of what happened, which CHECK_STR can look at. */
void sim_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern char sim_logged[4096];

#endif
