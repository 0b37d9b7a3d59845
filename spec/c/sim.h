/* SPDX-License-Identifier: MIT */
/* sim.h - goroutines without Lua: what the core needs from the floor above,
 * made of C functions.
 *
 * A body is called whenever its G is to go on; what it returns is what a
 * coroutine's end or yield would be (enum gout).  In between it may wait where
 * it stands, on its C stack, as Lua does below a C call. */
#ifndef LUAPARK_SPEC_SIM_H
#define LUAPARK_SPEC_SIM_H

#include "park/chan.h"
#include "sched/sched.h"

typedef enum gout simbody(G *gp, void *ud);

/* Starts the core.  Members of ops that are NULL are the real thing; netpoll
 * and timers are set up where they are.  One P, unless ops has openp. */
void sim_init(struct schedops ops);
/* The same with n Ps, on which all is the real thing. */
void sim_initprocs(uint32_t n);
/* What sim_initprocs gives to sim_init, for who wants to change it. */
extern const struct schedops sim_procs;
/* Ends it; fails where descriptors or threads were left. */
void sim_term(void);

/* A new goroutine on the caller's P; the host's is p0. */
G *sim_go(simbody *body, void *ud);
/* The same, which another P may run instead; and one that is packed at once. */
G *sim_goany(simbody *body, void *ud);
G *sim_spawn(simbody *body, void *ud);
/* One that is to run on that P. */
G *sim_at(P *home, simbody *body, void *ud);

/* go, then mstart until nothing is alive; what mstart returned. */
const char *sim_run(simbody *body, void *ud);

/* Parks the running G where it stands; until: ns, 0 for no deadline.  What the
 * waker said. */
int32_t sim_park(G *gp, enum waitreason reason, int64_t until);
void sim_sleep(G *gp, int64_t ns);
void sim_gosched(G *gp);
/* In a system call of so many ns. */
void sim_block(G *gp, int64_t ns);
/* For who computes: whether it was interrupted.  Lets others run if it must. */
bool sim_poll(G *gp);

/* Channels, as the Lua floor uses them.  send: false if it is closed; recv: false if it
 * is closed and empty. */
bool sim_send(G *gp, struct hchan *c, double n);
bool sim_recv(G *gp, struct hchan *c, double *n);
/* Receives until the time has come: true, false, or -1 when it has. */
int sim_recvuntil(G *gp, struct hchan *c, double *n, int64_t until);

/* Computes until *n is at least this: false when that takes longer than half a minute.  It
 * is not interrupted, but if poll says so. */
bool sim_compute(G *gp, const atomic_u32 *n, uint32_t atleast, bool poll);

/* A sudog of pp for gp, which may wait in shared lines; and its end. */
int32_t sim_sudog(P *pp, G *gp);
void sim_freesudog(P *pp, int32_t s);

/* A P beside p0, without a thread: the test's own is its M (mp, which setm gets). */
P *sim_newp(M *mp);
/* A G of pp's that waits, without ever having run; and the same again. */
G *sim_waiter(P *pp);
void sim_waitagain(G *gp);
/* Waits for it to be readied from elsewhere, as its P's M: what the waker said.  It waits
 * again afterwards. */
int32_t sim_await(G *gp);

/* For tests of the order in which p0 runs its Gs: as if no time passed, after which those in
 * the ring get their turn (runqturn). */
void sim_inorder(void);

/* Free C stacks of p0. */
int sim_nfreestacks(void);

/* Appends to a record of what happened, which CHECK_STR can look at.  On one P. */
void sim_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern char sim_logged[4096];

#endif
