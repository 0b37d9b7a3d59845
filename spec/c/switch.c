/* SPDX-License-Identifier: MIT */
#include "asm/switch.h"

#include <string.h>
#include <sys/mman.h>
#include <unwind.h>

#include "base/os.h"
#include "test.h"

enum { STACK = 1 << 20 };

static struct gobuf here, there;

static void newstack(void (*entry)(void *))
{
	char *lo = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(lo != MAP_FAILED);
	there = (struct gobuf){.lo = lo, .size = STACK, .sp = lp_switchframe(lo + STACK, entry)};
	os_stackbounds(&here.lo, &here.size); /* ASan's wish */
#ifdef LUAPARK_TSAN
	there.fiber = __tsan_create_fiber(0);
	here.fiber = __tsan_get_current_fiber();
#endif
}

static void freestack(void)
{
#ifdef LUAPARK_TSAN
	__tsan_destroy_fiber(there.fiber);
#endif
	munmap((void *)there.lo, there.size);
}

static void *gothere(void *arg)
{
	return gobuf_switch(&here, &there, arg);
}

static void *goback(void *arg)
{
	return gobuf_switch(&there, &here, arg);
}

static void addone(void *arg)
{
	gobuf_arrived();
	for (;;)
		arg = goback((void *)((uintptr_t)arg + 1));
}

TEST(switch_passes_arg_both_ways)
{
	newstack(addone);
	for (uintptr_t i = 0; i < 10000; i++)
		CHECK_EQ((uintptr_t)gothere((void *)(i * 0x100000001)), i * 0x100000001 + 1);
	freestack();
}

static void entryaligned(void *arg)
{
	gobuf_arrived();
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
#if defined(__x86_64__)
	/* rbp was pushed below the return address: 16 bytes below an aligned stack. */
	CHECK_EQ(frame % 16, 0);
	_Alignas(16) char vec[16];
	__asm__ volatile("movaps %%xmm0, %0" : "=m"(vec)); /* faults where the compiler's assumption is wrong */
	CHECK_EQ((uintptr_t)vec % 16, 0);
#else
	CHECK_EQ(frame % 16, 0);
#endif
	(void)arg;
	goback(NULL);
}

TEST(switch_entry_isaligned)
{
	newstack(entryaligned);
	CHECK(gothere(&here) == NULL);
	freestack();
}

#if defined(__x86_64__)
enum { NREGS = 6 };

/* switchregs(from, to, regs): puts regs in rbx rbp r12 r13 r14 r15, switches,
 * and puts there what it found in them on return. */
__asm__(".text\n"
	".type switchregs, @function\n"
	"switchregs:\n\t"
	"pushq %rbx\n\t"
	"pushq %rbp\n\t"
	"pushq %r12\n\t"
	"pushq %r13\n\t"
	"pushq %r14\n\t"
	"pushq %r15\n\t"
	"pushq %rdx\n\t"
	"movq (%rdx), %rbx\n\t"
	"movq 8(%rdx), %rbp\n\t"
	"movq 16(%rdx), %r12\n\t"
	"movq 24(%rdx), %r13\n\t"
	"movq 32(%rdx), %r14\n\t"
	"movq 40(%rdx), %r15\n\t"
	"call lp_switch\n\t"
	"popq %rdx\n\t"
	"movq %rbx, (%rdx)\n\t"
	"movq %rbp, 8(%rdx)\n\t"
	"movq %r12, 16(%rdx)\n\t"
	"movq %r13, 24(%rdx)\n\t"
	"movq %r14, 32(%rdx)\n\t"
	"movq %r15, 40(%rdx)\n\t"
	"popq %r15\n\t"
	"popq %r14\n\t"
	"popq %r13\n\t"
	"popq %r12\n\t"
	"popq %rbp\n\t"
	"popq %rbx\n\t"
	"ret\n"
	".size switchregs, . - switchregs\n");

#elif defined(__aarch64__)
enum { NREGS = 19 };

/* The same for x19 to x28, x29, and d8 to d15. */
__asm__(".text\n"
	".type switchregs, %function\n"
	"switchregs:\n\t"
	"sub sp, sp, #176\n\t"
	"stp x29, x30, [sp]\n\t"
	"stp x19, x20, [sp, #16]\n\t"
	"stp x21, x22, [sp, #32]\n\t"
	"stp x23, x24, [sp, #48]\n\t"
	"stp x25, x26, [sp, #64]\n\t"
	"stp x27, x28, [sp, #80]\n\t"
	"stp d8, d9, [sp, #96]\n\t"
	"stp d10, d11, [sp, #112]\n\t"
	"stp d12, d13, [sp, #128]\n\t"
	"stp d14, d15, [sp, #144]\n\t"
	"str x2, [sp, #160]\n\t"
	"ldp x19, x20, [x2]\n\t"
	"ldp x21, x22, [x2, #16]\n\t"
	"ldp x23, x24, [x2, #32]\n\t"
	"ldp x25, x26, [x2, #48]\n\t"
	"ldp x27, x28, [x2, #64]\n\t"
	"ldr x29, [x2, #80]\n\t"
	"ldp d8, d9, [x2, #88]\n\t"
	"ldp d10, d11, [x2, #104]\n\t"
	"ldp d12, d13, [x2, #120]\n\t"
	"ldp d14, d15, [x2, #136]\n\t"
	"bl lp_switch\n\t"
	"ldr x2, [sp, #160]\n\t"
	"stp x19, x20, [x2]\n\t"
	"stp x21, x22, [x2, #16]\n\t"
	"stp x23, x24, [x2, #32]\n\t"
	"stp x25, x26, [x2, #48]\n\t"
	"stp x27, x28, [x2, #64]\n\t"
	"str x29, [x2, #80]\n\t"
	"stp d8, d9, [x2, #88]\n\t"
	"stp d10, d11, [x2, #104]\n\t"
	"stp d12, d13, [x2, #120]\n\t"
	"stp d14, d15, [x2, #136]\n\t"
	"ldp x29, x30, [sp]\n\t"
	"ldp x19, x20, [sp, #16]\n\t"
	"ldp x21, x22, [sp, #32]\n\t"
	"ldp x23, x24, [sp, #48]\n\t"
	"ldp x25, x26, [sp, #64]\n\t"
	"ldp x27, x28, [sp, #80]\n\t"
	"ldp d8, d9, [sp, #96]\n\t"
	"ldp d10, d11, [sp, #112]\n\t"
	"ldp d12, d13, [sp, #128]\n\t"
	"ldp d14, d15, [sp, #144]\n\t"
	"add sp, sp, #176\n\t"
	"ret\n"
	".size switchregs, . - switchregs\n");
#endif

#if defined(__x86_64__) || defined(__aarch64__)
void switchregs(void **from, void *to, uint64_t regs[NREGS]);

static void pattern(uint64_t regs[NREGS], uint64_t seed)
{
	for (int i = 0; i < NREGS; i++)
		regs[i] = seed * 0x0101010101010101 + (uint64_t)i;
}

static void otherregs(void *arg)
{
	(void)arg;
	for (uint64_t n = 0;; n++) {
		uint64_t regs[NREGS], want[NREGS];
		pattern(regs, 0x80 + n % 64);
		pattern(want, 0x80 + n % 64);
		switchregs(&there.sp, here.sp, regs);
		CHECK(memcmp(regs, want, sizeof regs) == 0);
	}
}

TEST(switch_keeps_registers)
{
	newstack(otherregs);
	for (uint64_t n = 0; n < 1000; n++) {
		uint64_t regs[NREGS], want[NREGS];
		pattern(regs, n % 64);
		pattern(want, n % 64);
		switchregs(&here.sp, there.sp, regs);
		CHECK(memcmp(regs, want, sizeof regs) == 0);
	}
	freestack();
}
#endif

/* Sums the bytes of frames of 512 down to near the stack's end. */
static __attribute__((noinline)) unsigned deep(int n)
{
	volatile char frame[512];
	for (size_t i = 0; i < sizeof frame; i++)
		frame[i] = 1;
	unsigned sum = n > 1 ? deep(n - 1) : 0;
	for (size_t i = 0; i < sizeof frame; i++)
		sum += (unsigned)frame[i];
	return sum;
}

static void dive(void *arg)
{
	gobuf_arrived();
	for (int n = (int)(intptr_t)arg;;)
		n = (int)(intptr_t)goback((void *)(uintptr_t)deep(n));
}

TEST(switch_deep)
{
	newstack(dive);
	for (int i = 0; i < 3; i++)
		CHECK_EQ((uintptr_t)gothere((void *)600), 600 * 512);
	freestack();
}

/* Unwinding -------------------------------------------------------------- */

struct trace {
	int n;
	uintptr_t fn[64];
};

static _Unwind_Reason_Code frame(struct _Unwind_Context *ctx, void *ud)
{
	struct trace *t = ud;
	if (t->n == 64)
		return _URC_NORMAL_STOP;
	t->fn[t->n++] = _Unwind_GetRegionStart(ctx);
	return _URC_NO_REASON;
}

static struct trace trace;
static _Unwind_Reason_Code unwound;

static __attribute__((noinline)) void unwind(int depth)
{
	if (depth > 0) {
		unwind(depth - 1);
		__asm__ volatile(""); /* no tail call */
		return;
	}
	trace.n = 0;
	unwound = _Unwind_Backtrace(frame, &trace);
}

static void unwinding(void *arg)
{
	gobuf_arrived();
	unwind((int)(intptr_t)arg);
	arg = goback(NULL);
	unwind((int)(intptr_t)arg); /* where it has been switched away once */
	goback(NULL);
}

static int countframes(uintptr_t fn)
{
	int n = 0;
	for (int i = 0; i < trace.n; i++)
		n += trace.fn[i] == fn;
	return n;
}

static void check_trace(int depth)
{
	CHECK_EQ(unwound, _URC_END_OF_STACK);
	CHECK_EQ(countframes((uintptr_t)unwind), depth + 1);
	CHECK_EQ(countframes((uintptr_t)unwinding), 1);
	/* Below the entry there is stackbottom and nothing else; libgcc tells it twice, as it does _start. */
	CHECK(trace.n == depth + 3 || trace.n == depth + 4);
	CHECK_EQ(trace.fn[depth + 1], (uintptr_t)unwinding);
	CHECK_EQ(trace.fn[trace.n - 1], trace.fn[depth + 2]);
}

TEST(switch_unwinds_to_bottom)
{
	newstack(unwinding);
	gothere((void *)5);
	check_trace(5);
	gothere((void *)9);
	check_trace(9);
	freestack();
}

static void returns(void *arg)
{
	(void)arg;
}

static void switchtoreturning(void)
{
	newstack(returns);
	lp_switch(&here.sp, there.sp, NULL);
}

TEST(switch_entry_must_not_return)
{
#if defined(__x86_64__)
	CHECK_DIES(switchtoreturning, 4); /* SIGILL, of ud2 */
#else
	CHECK_DIES(switchtoreturning, 5); /* SIGTRAP, of brk */
#endif
}
