/* SPDX-License-Identifier: MIT */
#include "park/semaphore.h"

#include <stdlib.h>

static void semaphore_free(struct obj *o)
{
	lock_term(&((struct hsemaphore *)o)->lock);
	free(o);
}

struct hsemaphore *semaphore_new(double size)
{
	struct hsemaphore *sem = calloc(1, sizeof *sem);
	if (sem) {
		obj_init(&sem->o, OBJ_SEMAPHORE, semaphore_free);
		lock_init(&sem->lock, RANK_OBJ);
		sem->size = size;
	}
	return sem;
}

bool semaphore_acquire(struct hsemaphore *sem, double n, int32_t s)
{
	lock(&sem->lock);
	bool ours = n <= sem->size - sem->held && linefirst(&sem->line) == 0;
	if (ours) {
		sem->held += n;
	} else if (s && n <= sem->size) {
		sudogs.val[s] = (struct val){.tag = VAL_NUM, .u.n = n};
		lineput(&sem->line, s);
	}
	unlock(&sem->lock);
	return ours;
}

/* Gives what is free to those who are first in the line: a chain of them.  Holding the lock. */
static int32_t serve(struct hsemaphore *sem)
{
	int32_t first = 0, last = 0, s;
	while ((s = linefirst(&sem->line)) != 0 && sudogs.val[s].u.n <= sem->size - sem->held) {
		lineleave(&sem->line, s);
		if (!sudogdecide(sudogs.own[s], DONE_VAL)) /* it has given up at this moment */
			continue;
		sem->held += sudogs.val[s].u.n;
		sudogs.next[s] = 0;
		if (last)
			sudogs.next[last] = s;
		else
			first = s;
		last = s;
	}
	return first;
}

bool semaphore_release(struct hsemaphore *sem, double n)
{
	int32_t served = 0;
	lock(&sem->lock);
	bool ok = n <= sem->held;
	if (ok) {
		sem->held -= n;
		served = serve(sem);
	}
	unlock(&sem->lock);
	sudogreadyall(served, 1);
	return ok;
}

void semaphore_leave(struct hsemaphore *sem, int32_t s)
{
	lock(&sem->lock);
	lineleave(&sem->line, s);
	int32_t served = serve(sem);
	unlock(&sem->lock);
	sudogreadyall(served, 1);
}
