/* SPDX-License-Identifier: MIT */
/* switch_amd64_sysv.S - lp_switch for x86-64, System V ABI.
 *
 * The saved frame, lowest address first:
 *
 *      0   r12          8   r13
 *     16   r14         24   r15
 *     32   rbx         40   rbp
 *     48   return address
 *
 * 56 bytes; the return address lies where the call instruction put it.  All
 * other registers are the caller's to save, and mm/xmm hold nothing across a
 * call in this ABI.  We leave by jmp, not ret: a ret to another stack's address
 * is a sure misprediction of the return stack buffer (3 ns).  The floating-point
 * control words are fpenv.h's. */

	.text

/* void *lp_switch(void **from, void *to, void *arg)
 *                 rdi          rsi       rdx          -> rax */
	.globl	lp_switch
	.hidden	lp_switch
	.type	lp_switch, @function
	.p2align 4
lp_switch:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	movq	%rsp, (%rdi)		/* leave ... */
	movq	%rsi, %rsp		/* ... and be there */

	movq	%rdx, %rax		/* arg is what the other side returns */
	movq	(%rsp), %r12
	movq	8(%rsp), %r13
	movq	16(%rsp), %r14
	movq	24(%rsp), %r15
	movq	32(%rsp), %rbx
	movq	40(%rsp), %rbp
	movq	48(%rsp), %rcx
	addq	$56, %rsp
	.cfi_adjust_cfa_offset -56
	.cfi_register %rip, %rcx
	jmp	*%rcx
	.cfi_endproc
	.size	lp_switch, . - lp_switch

/* Where a fresh stack begins: rax = arg, rbx = entry (see lp_switchframe).
 * An undefined return address tells unwinders that the stack ends here. */
	.type	stackbottom, @function
	.p2align 4
stackbottom:
	.cfi_startproc
	.cfi_undefined rip
	endbr64
	xorl	%ebp, %ebp
	movq	%rax, %rdi
	call	*%rbx
	ud2				/* entry must not return */
	.cfi_endproc
	.size	stackbottom, . - stackbottom

/* void *lp_switchframe(void *top, void (*entry)(void *))
 *                      rdi        rsi                   -> rax
 * After lp_switch has popped the frame rsp is `top`, 16-byte aligned, so that
 * the call in stackbottom keeps the ABI's alignment. */
	.globl	lp_switchframe
	.hidden	lp_switchframe
	.type	lp_switchframe, @function
	.p2align 4
lp_switchframe:
	.cfi_startproc
	endbr64
	leaq	-56(%rdi), %rax
	movq	$0, (%rax)
	movq	$0, 8(%rax)
	movq	$0, 16(%rax)
	movq	$0, 24(%rax)
	movq	%rsi, 32(%rax)
	movq	$0, 40(%rax)
	leaq	stackbottom(%rip), %rcx
	movq	%rcx, 48(%rax)
	ret
	.cfi_endproc
	.size	lp_switchframe, . - lp_switchframe

	.section .note.GNU-stack, "", @progbits
