/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls of helpers and local calls, and the way back from them: moat_return, moat_audit,
 * the site. What they keep to is in gates.h.
 */
#include "gates.h"

.section .noinstr.text, "ax"

/*
 * return: of a local call, and of a helper call that took the long way.
 *
 *		on entry		back in the program
 * PKRS		closed			closed
 * RSP		window, or anything	what the call expects
 * RAX		result			result
 * R11		number, untrusted	clobbered, as are RSI, R8 and R10
 * RDI					the number, or zero
 * IF		as before enter		as before enter
 * IST		landing areas		landing areas
 */
SYM_CODE_START(moat_return)
	UNWIND_HINT_EMPTY
	cli
	movq	%rax, %r9
	movq	%r11, %rdi
	leaq	moat_return_open(%rip), %r12
	MOAT_OPEN_PKRS
	movq	PER_CPU_VAR(moat_run), %r10
	movq	MOAT_RUN_domain(%r10), %rdx
	cmpq	MOAT_DOM_nr_returns(%rdx), %rdi
	jae	.Lreturn_over
	movq	%rdi, %rsi
	shlq	$4, %rsi			/* sizeof(struct moat_return) */
	addq	MOAT_DOM_returns(%rdx), %rsi
	movq	%rsi, MOAT_RUN_ret(%r10)	/* for moat_return_commit */
	incq	PER_CPU_VAR(moat_calls)
	movq	%rbp, %rsp
	subq	MOAT_RETURN_frame(%rsi), %rsp
	movq	MOAT_RETURN_ip(%rsi), %r11
	movl	MOAT_DOM_pkrs(%rdx), %eax
	testl	$MOAT_RUN_VIEW, MOAT_RUN_flags(%r10)
	jz	.Lreturn_close
	movl	MOAT_DOM_view_pkrs(%rdx), %eax
.Lreturn_close:
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%r10)
	MOAT_HIDE
	MOAT_CLOSE
	movq	%r9, %rax
	MOAT_JUMP moat_return_jmp

/*
 * What interrupts this has the view left and IST vectors at kernel stacks: all that was
 * spared above is to be done then.
 */
.Lreturn_over:
	testl	$MOAT_RUN_CALLBACK, MOAT_RUN_flags(%r10)
	jnz	moat_callback_return
SYM_INNER_LABEL(moat_return_open, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	MOAT_OPEN_PKRS
	MOAT_LEAVE_VIEW
	MOAT_IST_KERNEL
	movq	PER_CPU_VAR(moat_run), %rsp
	movq	MOAT_RUN_domain(%rsp), %rax
	cmpq	MOAT_DOM_nr_returns(%rax), %rdi
	jae	.Lno_return
	shlq	$4, %rdi
	addq	MOAT_DOM_returns(%rax), %rdi
	movq	%rdi, MOAT_RUN_ret(%rsp)
	jmp	.Lreturn

.Lno_return:
	testl	$MOAT_RUN_CALLBACK, MOAT_RUN_flags(%rsp)
	jnz	moat_callback_leave
	movq	%rsp, %rdi
	call	moat_no_return
	jmp	moat_stop

	/* R9: what is returned. */
.Lreturn:
	incq	PER_CPU_VAR(moat_calls)
	leaq	moat_return_commit(%rip), %r12
SYM_INNER_LABEL(moat_return_commit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	movq	PER_CPU_VAR(moat_run), %r10
	movq	MOAT_RUN_slot(%r10), %rcx
	MOAT_IST_LANDING %rcx
	movq	MOAT_RUN_ret(%r10), %rdx
	movq	%rbp, %rsp
	subq	MOAT_RETURN_frame(%rdx), %rsp
	movq	MOAT_RETURN_ip(%rdx), %r11
	movq	MOAT_RUN_domain(%r10), %rdx
	movl	$0, %edi
	movl	MOAT_DOM_pkrs(%rdx), %eax
	testl	$MOAT_RUN_VIEW, MOAT_RUN_flags(%r10)
	jz	.Lreturn_close
	MOAT_ENTER_VIEW %rdx
	movl	MOAT_DOM_view_pkrs(%rdx), %eax
	jmp	.Lreturn_close

/*
 * From a site, in a view or with interrupts off: PKRS open, IST vectors at the
 * landing areas, R11 the struct moat_site, the rest as a site has it.
 */
SYM_INNER_LABEL(moat_call_long, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	MOAT_LEAVE_VIEW
	MOAT_IST_KERNEL
	movq	PER_CPU_VAR(moat_run), %rsp
	movq	%r11, MOAT_RUN_ret(%rsp)
	movq	MOAT_SITE_entry(%r11), %rax
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%rsp)
	jz	.Lcall_off
	sti
.Lcall_off:
	CALL_NOSPEC rax
	cli
	/* Without interrupts, nobody else may get to see that its time is up. */
	movq	MOAT_RUN_domain(%rsp), %rcx
	testl	$MOAT_DOM_DEAD, MOAT_DOM_flags(%rcx)
	jnz	moat_stop
	movq	%rax, %r9
	jmp	.Lreturn
SYM_CODE_END(moat_return)

/*
 * What a site calls in place of a helper with a contract. R9, R10: what the
 * program had in RCX and RDX; R11: struct moat_site *.
 */
.macro MOAT_AUDITED call:req
	UNWIND_HINT_EMPTY
	movq	$0, MOAT_RUN_stop + 8(%rsp)
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%rsi
	pushq	%rdi
	leaq	6*8(%rsp), %rdi
	movq	%r11, %rsi
	movq	%rsp, %rdx
	call	\call
	addq	$5*8, %rsp
	cmpq	$0, MOAT_RUN_stop + 8(%rsp)
	jne	moat_stop
	RET
.endm

SYM_CODE_START(moat_audit)
	MOAT_AUDITED moat_audited_call
SYM_CODE_END(moat_audit)

/* The same of locks of map values */
SYM_CODE_START(moat_audit_lock)
	MOAT_AUDITED moat_audited_lock
SYM_CODE_END(moat_audit_lock)

/*
 * What a site of a program that takes locks calls first: nothing but their return may be
 * called by a run that holds one.
 */
SYM_CODE_START(moat_unlocked)
	UNWIND_HINT_EMPTY
	movq	MOAT_RUN_slot + 8(%rsp), %rax
	movq	MOAT_SLOT_grants(%rax), %rax
	/* helpers/grants.rs */
	cmpl	$0, MOAT_GRANTS_held + 4(%rax)
	jne	.Llocked
	movq	MOAT_SITE_unlocked(%r11), %rax
	JMP_NOSPEC rax
.Llocked:
	leaq	8(%rsp), %rdi
	movq	%r11, %rsi
	call	moat_locked_call
	jmp	moat_stop
SYM_CODE_END(moat_unlocked)

/*
 * A site: the gate for one helper call, behind the image that has it. This is
 * copied, and the holes are filled in (moat/code/sites.rs).
 *
 *		on entry		back in the program
 * PKRS		closed			closed; open in the helper
 * RSP		window, or anything	what the image expects
 * RDI..R8	arguments, untrusted	zero, but for RCX
 * RAX					the helper's result
 * IF		as before enter		as before enter, in the helper too
 * IST		landing areas		landing areas; the kernel's in between
 */
	.section .rodata, "a"
	.balign	8
.macro SITE_LABEL name:req
	.globl	moat_site_\name
moat_site_\name:
.endm

SITE_LABEL begin
	movq	%rcx, %r9
SITE_LABEL three				/* here if RCX is no argument */
	movq	%rdx, %r10
SITE_LABEL two					/* nor RDX */
	.byte	0x49, 0xbb			/* movabsq $site, %r11 */
SITE_LABEL hole_site
	.quad	0
SITE_LABEL lean					/* nor does anybody look at the site */
	cli
	leaq	moat_site_open(%rip), %r12
SITE_LABEL open
	MOAT_OPEN_PKRS
	movq	PER_CPU_VAR(moat_run), %rcx
	testl	$MOAT_RUN_SHORT, MOAT_RUN_flags(%rcx)
	jz	.Lsite_long
	MOAT_IST_KERNEL
	movq	%rcx, %rsp
	sti
	.byte	0xe8				/* call entry */
SITE_LABEL hole_entry
	.long	0
	cli
	movq	%rax, %r11
	incq	PER_CPU_VAR(moat_calls)
	leaq	moat_site_commit(%rip), %r12
.Lsite_close:
	movq	MOAT_RUN_slot(%rsp), %rcx
	MOAT_IST_LANDING %rcx
	.byte	0x48, 0x8d, 0xa5		/* leaq -frame(%rbp), %rsp */
SITE_LABEL hole_frame
	.long	0
	.byte	0xa1				/* movabsl domain.pkrs, %eax */
SITE_LABEL hole_pkrs
	.quad	0
	xorl	%edx, %edx
	movl	$MSR_IA32_PKRS, %ecx
	wrmsr
	movq	%r11, %rax
	xorl	%edi, %edi
	xorl	%esi, %esi
	xorl	%r8d, %r8d
	xorl	%r10d, %r10d
	xorl	%r12d, %r12d
SITE_LABEL jmp
	sti
	.byte	0xe9				/* jmp ret */
SITE_LABEL hole_ret
	.long	0
SITE_LABEL commit
	movq	PER_CPU_VAR(moat_run), %rsp
	jmp	.Lsite_close
.Lsite_long:
	.byte	0x49, 0xbb			/* movabsq $site, %r11 */
SITE_LABEL hole_site_long
	.quad	0
	.byte	0xe9				/* jmp moat_call_long */
SITE_LABEL hole_long
	.long	0
SITE_LABEL end
	.org	moat_site_begin + MOAT_SITE_SIZE
