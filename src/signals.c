/* SPDX-License-Identifier: MIT */
/* signals.c - the executable's signals.
 *
 * SIGINT and SIGQUIT stop the scheduler: at once where it is asked for the next
 * goroutine, and by a hook where one computes (lua/interrupt.c; our LuaJIT looks for hooks
 * in compiled loops too).  The hook leaves for g0 and never comes back, so that no
 * pcall can hold it.  A second SIGINT kills.
 *
 * Handlers run on a stack of their own: that of a goroutine may just be full. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "asm/cstack.h"
#include "lua/host.h"
#include "main.h"

static void onsignal(int sig)
{
	signal(SIGINT, SIG_DFL);
	schedsignal(sig);
}

/* A C stack that runs into its guard is said in words; every other fault is
 * what it always was. */
static void onfault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	signal(sig, SIG_DFL);
	if (cstack_isguard(info->si_addr)) {
		static const char text[] = "fatal error: C stack overflow in a goroutine\n";
		ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
		(void)ignored;
		_exit(2);
	}
	raise(sig);
}

void signals_init(void)
{
	static char altstack[64 << 10];
	stack_t ss = {.ss_sp = altstack, .ss_size = sizeof altstack};
	struct sigaction fault = {.sa_sigaction = onfault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	struct sigaction end = {.sa_handler = onsignal, .sa_flags = SA_ONSTACK}, old;
	sigemptyset(&fault.sa_mask);
	sigemptyset(&end.sa_mask);
	if (sigaltstack(&ss, NULL) != 0)
		return;
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	/* Who was started with SIGINT ignored (in the background, say) leaves it so. */
	if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(SIGINT, &end, NULL);
	if (sigaction(SIGQUIT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(SIGQUIT, &end, NULL);
}

void signals_exit(void)
{
	if (load_relaxed(&sched.signal) == SIGINT) {
		signal(SIGINT, SIG_DFL);
		raise(SIGINT);
	}
}
