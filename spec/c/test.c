/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asm/switch.h" /* LUAPARK_TSAN */

enum { TIMEOUT = 120 }; /* s; valgrind is slow */

static struct test *first, **end = &first;

void test_register(struct test *t)
{
	*end = t;
	end = &t->next;
}

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "%s:%d: %s\n", file, line, text);
	_exit(1);
}

void test_eq(const char *file, int line, const char *got, const char *want, int64_t vgot, int64_t vwant)
{
	if (vgot != vwant)
		test_fail(file, line, "%s is %lld, not %s (%lld)", got, (long long)vgot, want, (long long)vwant);
}

void test_str(const char *file, int line, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		test_fail(file, line, "\"%s\" is not \"%s\"", got, want);
}

uint32_t test_rand(void)
{
	static uint64_t x;
	if (x == 0) {
		const char *seed = getenv("TEST_SEED");
		x = (seed ? strtoull(seed, NULL, 10) : 1) * 0x9e3779b97f4a7c15u | 1;
	}
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 32);
}

/* The linker sends the core's calls here (--wrap). */
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
static int failrealloc;

void test_failrealloc(int n)
{
	failrealloc = n;
}

void *__wrap_realloc(void *p, size_t n)
{
	return failrealloc > 0 && --failrealloc == 0 ? NULL : __real_realloc(p, n);
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
static _Atomic int fewthreads = -1;

void test_fewthreads(int n)
{
	fewthreads = n;
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	if (fewthreads == 0)
		return EAGAIN;
	if (fewthreads > 0) /* the core makes them under a lock */
		fewthreads--;
	return __real_pthread_create(t, attr, fn, arg);
}

void test_narrow(size_t n)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f || fscanf(f, "%lu", &pages) != 1)
		test_fail(__FILE__, __LINE__, "no /proc/self/statm");
	fclose(f);
	struct rlimit lim;
	getrlimit(RLIMIT_AS, &lim);
	lim.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + n;
	if (setrlimit(RLIMIT_AS, &lim) != 0)
		test_fail(__FILE__, __LINE__, "setrlimit: %s", strerror(errno));
}

/* Sanitizers need room for what they do at the end. */
static void widen(void)
{
	struct rlimit lim;
	getrlimit(RLIMIT_AS, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_AS, &lim);
}

static int nentries(const char *dir)
{
	int n = -2; /* "." and ".." */
	DIR *d = opendir(dir);
	if (!d)
		test_fail(__FILE__, __LINE__, "no %s", dir);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int test_nfds(void)
{
	return nentries("/proc/self/fd") - 1; /* the directory itself */
}

static struct {
	pthread_barrier_t begin;
	void (*fn)(int i);
} threads;

static void *onthread(void *ud)
{
	pthread_barrier_wait(&threads.begin);
	threads.fn((int)(intptr_t)ud);
	return NULL;
}

void test_threads(int n, void (*fn)(int i))
{
	enum { MAX = 16 };
	pthread_t t[MAX];
	CHECK(n <= MAX);
	threads.fn = fn;
	pthread_barrier_init(&threads.begin, NULL, (unsigned)n);
	for (int i = 0; i < n; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, onthread, (void *)(intptr_t)i), 0);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&threads.begin);
}

#ifdef LUAPARK_TSAN
static void nothing(int i)
{
	(void)i;
}
#endif

int test_nthreads(void)
{
#ifdef LUAPARK_TSAN
	static bool before;
	if (!before) /* it has a thread of its own, which comes with the first one of ours */
		test_threads(1, nothing);
	before = true;
#endif
	return nentries("/proc/self/task");
}

/* Runs fn in a child whose output is kept in a file of memory; its wait status. */
static int runchild(void (*fn)(void), int *out)
{
	fflush(stdout);
	*out = memfd_create("output", MFD_CLOEXEC);
	pid_t pid = fork();
	if (*out < 0 || pid < 0) {
		perror("test");
		exit(2);
	}
	if (pid == 0) {
		alarm(TIMEOUT);
		dup2(*out, STDOUT_FILENO);
		dup2(*out, STDERR_FILENO);
		close(*out);
		fn();
		widen();
		exit(0); /* leaks are looked for here */
	}
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void undisturbed(void)
{
	signal(SIGSEGV, SIG_DFL); /* sanitizers' reports are not wanted here */
	signal(SIGBUS, SIG_DFL);
}

/* An emulator has a last word of its own, which is not the program's. */
static void cutemulator(char *said)
{
	char *last = strstr(said, "qemu: uncaught target signal ");
	if (last && (last == said || last[-1] == '\n'))
		*last = 0;
}

static void (*dyingfn)(void);

static void die(void)
{
	undisturbed();
	dyingfn();
	_exit(0);
}

void test_dies(const char *file, int line, void (*fn)(void), int sig, const char *text)
{
	char said[4096];
	int out;
	dyingfn = fn;
	int status = runchild(die, &out);
	ssize_t n = pread(out, said, sizeof said - 1, 0);
	close(out);
	said[n < 0 ? 0 : n] = 0;
	cutemulator(said);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != sig || (text && strcmp(said, text) != 0))
		test_fail(file, line, "wait status 0x%x, not signal %d; it said \"%s\", not \"%s\"", status, sig, said,
			  text ? text : "");
}

static bool passes(const struct test *t)
{
	char buf[4096];
	int out, status = runchild(t->run, &out);
	off_t len = lseek(out, 0, SEEK_END);
	bool ok = status == 0 && len == 0;
	if (!ok) {
		printf("FAIL %s", t->name);
		if (WIFSIGNALED(status))
			printf(" (%s)", strsignal(WTERMSIG(status)));
		else
			printf(" (exit status %d)", WEXITSTATUS(status));
		printf("\n");
		lseek(out, 0, SEEK_SET);
		for (ssize_t n; (n = read(out, buf, sizeof buf)) > 0;)
			fwrite(buf, 1, (size_t)n, stdout);
	}
	close(out);
	return ok;
}

static bool cannarrow(void)
{
#ifdef LUAPARK_TSAN
	return false;
#else
	const char *preload = getenv("LD_PRELOAD");
	return !preload || !strstr(preload, "vgpreload");
#endif
}

static bool wanted(const struct test *t, int argc, char **argv)
{
	if (t->narrow && !cannarrow())
		return false;
	bool others = argc == 1 || strcmp(argv[1], "-x") == 0;
	for (int i = 1; i < argc; i++)
		if (strncmp(t->name, argv[i], strlen(argv[i])) == 0)
			return !others;
	return others;
}

int main(int argc, char **argv)
{
	int npassed = 0, nfailed = 0;
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	if (argc == 2 && strcmp(argv[1], "-l") == 0) {
		for (const struct test *t = first; t; t = t->next)
			puts(t->name);
		return 0;
	}
	bool here = argc == 3 && strcmp(argv[1], "-1") == 0;
	for (const struct test *t = first; t; t = t->next) {
		if (here && strcmp(t->name, argv[2]) == 0)
			return t->run(), 0;
		if (here || !wanted(t, argc, argv))
			continue;
		if (passes(t))
			npassed++;
		else
			nfailed++;
	}
	printf("%d passed, %d failed\n", npassed, nfailed);
	return nfailed > 0 || npassed == 0;
}
