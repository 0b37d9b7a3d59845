/* SPDX-License-Identifier: MIT */
/* switch_arm64_aapcs.S - lp_switch for AArch64, AAPCS64.
 *
 * The saved frame, lowest address first (160 bytes, a multiple of 16):
 *
 *      0   x29 (fp)    8   x30 (lr: where to go on)
 *     16   x19        24   x20
 *     32   x21        40   x22
 *     48   x23        56   x24
 *     64   x25        72   x26
 *     80   x27        88   x28
 *     96   d8        104   d9
 *    112   d10       120   d11
 *    128   d12       136   d13
 *    144   d14       152   d15
 *
 * x18 is the platform's and is left alone.  Of v8 to v15 only the low halves
 * are callee-saved.  FPCR is fpenv.h's.  We leave by br, not ret, for the reason
 * that amd64's jmp has.  A br must land on a bti where code is guarded, and none
 * stands behind our caller's call, so there it is ret. */

	.text

/* void *lp_switch(void **from, void *to, void *arg)
 *                 x0           x1        x2           -> x0 */
	.globl	lp_switch
	.hidden	lp_switch
	.type	lp_switch, %function
	.p2align 4
lp_switch:
	.cfi_startproc
	hint	#34			/* bti c */
	sub	sp, sp, #160
	.cfi_def_cfa_offset 160
	stp	x29, x30, [sp]
	.cfi_offset x29, -160
	.cfi_offset x30, -152
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]

	mov	x10, sp			/* leave ... */
	str	x10, [x0]
	mov	sp, x1			/* ... and be there */

	mov	x0, x2			/* arg is what the other side returns */
	ldp	x29, x30, [sp]
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	add	sp, sp, #160
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
#ifdef __ARM_FEATURE_BTI_DEFAULT
	ret
#else
	br	x30
#endif
	.cfi_endproc
	.size	lp_switch, . - lp_switch

/* Where a fresh stack begins: x0 = arg, x19 = entry (see lp_switchframe).
 * An undefined return address tells unwinders that the stack ends here, and a
 * frame record of zeros those that follow x29. */
	.type	stackbottom, %function
	.p2align 4
stackbottom:
	.cfi_startproc
	.cfi_undefined x30
	hint	#34
	mov	x29, xzr
	mov	x30, xzr
	blr	x19
	brk	#1			/* entry must not return */
	.cfi_endproc
	.size	stackbottom, . - stackbottom

/* void *lp_switchframe(void *top, void (*entry)(void *))
 *                      x0         x1                    -> x0
 * After lp_switch has popped the frame sp is `top`, 16-byte aligned, as sp must
 * always be here. */
	.globl	lp_switchframe
	.hidden	lp_switchframe
	.type	lp_switchframe, %function
	.p2align 4
lp_switchframe:
	.cfi_startproc
	hint	#34
	sub	x0, x0, #160
	stp	xzr, xzr, [x0, #32]
	stp	xzr, xzr, [x0, #48]
	stp	xzr, xzr, [x0, #64]
	stp	xzr, xzr, [x0, #80]
	stp	xzr, xzr, [x0, #96]
	stp	xzr, xzr, [x0, #112]
	stp	xzr, xzr, [x0, #128]
	stp	xzr, xzr, [x0, #144]
	adr	x9, stackbottom
	stp	xzr, x9, [x0]		/* fp = 0, lr = stackbottom */
	stp	x1, xzr, [x0, #16]	/* x19 = entry */
	ret
	.cfi_endproc
	.size	lp_switchframe, . - lp_switchframe

#ifdef __ARM_FEATURE_BTI_DEFAULT
/* Code is guarded only if every object of the program says that it is fit for it. */
	.section .note.gnu.property, "a", %note
	.p2align 3
	.word	4, 16, 5		/* sizes of name and contents; NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.word	0xc0000000, 4, 1, 0	/* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI */
#endif

	.section .note.GNU-stack, "", %progbits
