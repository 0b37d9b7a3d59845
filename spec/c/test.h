/* SPDX-License-Identifier: MIT */
/* test.h - the C tests' harness.
 *
 * Each test runs in a process of its own: it finds the core's globals as they
 * are at start, may break them, and a crash or a hang is its own.  A test fails
 * when a check fails, when it dies, and when it prints anything (that is how a
 * sanitizer speaks).
 *
 *   test            runs all
 *   test NAME...    runs those whose name begins with one of the NAMEs
 *   test -x NAME... runs all others
 *   test -l         lists
 *   test -1 NAME    runs one in this very process, for a debugger */
#ifndef LUAPARK_SPEC_TEST_H
#define LUAPARK_SPEC_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test {
	const char *name;
	void (*run)(void);
	bool narrow;
	struct test *next;
};

void test_register(struct test *t);

#define TEST(name) TEST_(name, false)

/* For tests that call test_narrow.  TSan's and valgrind's own runtimes die where
 * they find no room; there these tests are left out. */
#define TEST_NARROW(name) TEST_(name, true)

#define TEST_(name, narrow)                                                               \
	static void run_##name(void);                                                     \
	static struct test test_##name = {#name, run_##name, narrow, NULL};               \
	__attribute__((constructor)) static void register_##name(void)                    \
	{                                                                                 \
		test_register(&test_##name);                                              \
	}                                                                                 \
	static void run_##name(void)

/* Ends the test.  Works on any stack. */
_Noreturn void test_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void test_eq(const char *file, int line, const char *got, const char *want, int64_t vgot, int64_t vwant);
void test_str(const char *file, int line, const char *got, const char *want);

#define CHECK(cond) ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, "%s", #cond))
#define CHECK_EQ(got, want) test_eq(__FILE__, __LINE__, #got, #want, (int64_t)(got), (int64_t)(want))
#define CHECK_STR(got, want) test_str(__FILE__, __LINE__, (got), (want))

/* Runs fn in another process, which must die: by `sig`, or for SIGABRT by a
 * throw of this text. */
void test_dies(const char *file, int line, void (*fn)(void), int sig, const char *text);

#define CHECK_THROWS(fn, text) test_dies(__FILE__, __LINE__, (fn), 6, "fatal error: " text "\n")
#define CHECK_DIES(fn, sig) test_dies(__FILE__, __LINE__, (fn), (sig), NULL)

/* The same numbers in each run, unless TEST_SEED says otherwise. */
uint32_t test_rand(void);

/* Lets the n-th next realloc of the core fail; 0: none. */
void test_failrealloc(int n);

/* Lets the core make n more threads; -1: as many as it likes. */
void test_fewthreads(int n);

/* Keeps the address space from growing by more than n bytes. */
void test_narrow(size_t n);

/* How many descriptors are open, and threads exist. */
int test_nfds(void);
int test_nthreads(void);

/* Runs fn(0) to fn(n - 1), all at once, on threads of their own. */
void test_threads(int n, void (*fn)(int i));

#endif
