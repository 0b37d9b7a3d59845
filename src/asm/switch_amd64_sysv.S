/* switch_amd64_sysv.S - lp_switch for x86-64, System V ABI.
 *
 * The saved frame, lowest address first:
 *
 *      0   MXCSR (4 bytes)      4   x87 control word (2 bytes, 2 unused)
 *      8   r12                 16   r13
 *     24   r14                 32   r15
 *     40   rbx                 48   rbp
 *     56   return address
 *
 * 64 bytes; the return address lies where the call instruction put it.  All
 * other registers are the caller's to save, and mm/xmm hold nothing across a
 * call in this ABI.  We leave by jmp, not ret: a ret to another stack's
 * address is a sure misprediction of the return stack buffer. */

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
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr	(%rsp)			/* remember how this stack computes */
	fnstcw	4(%rsp)
	movl	(%rsp), %ecx
	movzwl	4(%rsp), %r8d

	movq	%rsp, (%rdi)		/* leave ... */
	movq	%rsi, %rsp		/* ... and be there */

	cmpl	(%rsp), %ecx		/* reload control words only where */
	jne	2f			/* the two stacks disagree */
1:	cmpw	4(%rsp), %r8w
	jne	3f
4:	movq	%rdx, %rax		/* arg is what the other side returns */
	movq	8(%rsp), %r12
	movq	16(%rsp), %r13
	movq	24(%rsp), %r14
	movq	32(%rsp), %r15
	movq	40(%rsp), %rbx
	movq	48(%rsp), %rbp
	movq	56(%rsp), %rcx
	addq	$64, %rsp
	.cfi_adjust_cfa_offset -64
	.cfi_register %rip, %rcx
	jmp	*%rcx
	.cfi_adjust_cfa_offset 64
2:	ldmxcsr	(%rsp)
	jmp	1b
3:	fldcw	4(%rsp)
	jmp	4b
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
	leaq	-64(%rdi), %rax
	stmxcsr	(%rax)
	fnstcw	4(%rax)
	movw	$0, 6(%rax)
	movq	$0, 8(%rax)
	movq	$0, 16(%rax)
	movq	$0, 24(%rax)
	movq	$0, 32(%rax)
	movq	%rsi, 40(%rax)
	movq	$0, 48(%rax)
	leaq	stackbottom(%rip), %rcx
	movq	%rcx, 56(%rax)
	ret
	.cfi_endproc
	.size	lp_switchframe, . - lp_switchframe

	.section .note.GNU-stack, "", @progbits
