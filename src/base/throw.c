/* SPDX-License-Identifier: MIT */
#include "base/throw.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

_Noreturn void throw(const char *why)
{
	/* The system call alone: whatever is broken, stdio's locks may be part of it. */
	const struct iovec text[] = {{"fatal error: ", 13}, {(void *)(uintptr_t)why, strlen(why)}, {"\n", 1}};
	if (writev(STDERR_FILENO, text, 3) < 0) {
		/* nobody is left to be told */
	}
	abort();
}
