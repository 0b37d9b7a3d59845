#include "base/throw.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void throw(const char *why)
{
	/* write(2) alone: whatever is broken, stdio's locks may be part of it. */
	static const char head[] = "fatal error: ";
	ssize_t ignored = write(STDERR_FILENO, head, sizeof head - 1);
	ignored = write(STDERR_FILENO, why, strlen(why));
	ignored = write(STDERR_FILENO, "\n", 1);
	(void)ignored;
	abort();
}
