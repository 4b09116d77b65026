/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of a program that a helper calls: into one, and out of it. What these keep to
 * is in gates.h.
 *
 * A callback is a run in the run, with the same slot. Its struct moat_run lies below the
 * helper's frames, so that gates and entry code find free stack where they always do; of
 * the helper's nothing is lost, whatever the program does: it gets an answer, and returns.
 */
#include "gates.h"

.section .noinstr.text, "ax"

/*
 * callback: u64 (u64, u64, u64, u64, u64), what a helper is given in place of a function
 *
 *		on entry		in the function
 * PKRS		open			closed
 * RSP, RBP	kernel			window: struct moat_calling.sp
 * RDI..RCX	arguments		arguments
 * IF		any			as before enter
 * IST		kernel stacks		landing areas
 *
 * The program may have what it likes in registers when it is done: all that a function
 * has to preserve is saved here.
 */
SYM_CODE_START(moat_callback)
	UNWIND_HINT_FUNC
	ANNOTATE_NOENDBR
	movq	%rdx, %r8
	movq	%rcx, %r9
.Lcallback:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	UNWIND_HINT_EMPTY
	movq	PER_CPU_VAR(moat_run), %r10
	movq	MOAT_RUN_calling(%r10), %r11
	pushq	%r11				/* of */
	subq	$(MOAT_RUN_of - MOAT_RUN_slot - 8), %rsp
	pushq	MOAT_RUN_slot(%r10)
	pushq	MOAT_RUN_domain(%r10)
	pushq	MOAT_CALLING_flags(%r11)
	pushq	%r10				/* prev */
	movq	%rsp, PER_CPU_VAR(moat_run)
	testl	$MOAT_RUN_SHORT, MOAT_RUN_flags(%rsp)
	jz	.Lcallback_long
.Lcallback_begin:
	movq	%rsp, %r10
	cli
	leaq	moat_callback_commit(%rip), %r12
.Lcallback_close:
	movq	MOAT_RUN_slot(%r10), %rcx
	xorl	%ebx, %ebx
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
	xorl	%edx, %edx
	MOAT_IST_LANDING %rcx
	movq	MOAT_CALLING_sp(%r11), %rsp
	pushq	$MOAT_RETURN_CALLBACK
	movq	%rsp, %rbp
	movq	MOAT_CALLING_entry(%r11), %r11
	movq	MOAT_RUN_domain(%r10), %rcx
	movl	MOAT_DOM_pkrs(%rcx), %eax
	testl	$MOAT_RUN_VIEW, MOAT_RUN_flags(%r10)
	jnz	.Lcallback_view
.Lcallback_closed:
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%r10)
	MOAT_CLOSE
	movq	%r8, %rdx
	movq	%r9, %rcx
	MOAT_JUMP moat_callback_jmp

SYM_INNER_LABEL(moat_callback_commit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	movq	PER_CPU_VAR(moat_run), %r10
	movq	MOAT_RUN_of(%r10), %r11
	jmp	.Lcallback_close

.Lcallback_view:
	MOAT_ENTER_VIEW %rcx
	movl	MOAT_DOM_view_pkrs(%rcx), %eax
	jmp	.Lcallback_closed

	/* Without interrupts, nobody else may get to see that its time is up. */
.Lcallback_long:
	movq	MOAT_RUN_domain(%rsp), %rcx
	testl	$MOAT_DOM_DEAD, MOAT_DOM_flags(%rcx)
	jz	.Lcallback_begin
	jmp	moat_callback_stop

/*
 * The same for the elements of a map: of RSI, the key, the program gets a copy, for the
 * kernel has more where that is; of RDX, the value, the address in the window.
 */
SYM_INNER_LABEL(moat_callback_element, SYM_L_GLOBAL)
	UNWIND_HINT_FUNC
	ANNOTATE_NOENDBR
	movq	PER_CPU_VAR(moat_run), %r10
	movq	MOAT_RUN_calling(%r10), %r11
	movq	%rcx, %r9
	movq	MOAT_CALLING_to_window(%r11), %r8
	testq	%r8, %r8
	jz	.Lelement_ask
	addq	%rdx, %r8
.Lelement_key:
	movq	MOAT_CALLING_key_size(%r11), %rcx
	movq	%rsi, %rdx
	movq	MOAT_CALLING_key(%r11), %rsi
	subq	$8, %rcx
	jc	.Lelement_bytes
.Lelement_words:
	movq	(%rdx, %rcx), %rax
	movq	%rax, (%rsi, %rcx)
	subq	$8, %rcx
	jnc	.Lelement_words
.Lelement_bytes:
	addq	$8, %rcx
	jz	.Lcallback
	cmpl	$4, %ecx
	jne	.Lelement_byte
	movl	(%rdx), %eax
	movl	%eax, (%rsi)
	jmp	.Lcallback
.Lelement_byte:
	movb	-1(%rdx, %rcx), %al
	movb	%al, -1(%rsi, %rcx)
	decl	%ecx
	jnz	.Lelement_byte
	jmp	.Lcallback

	/* Per CPU and in several places: it is not the same distance for each. */
.Lelement_ask:
	pushq	%rdi
	pushq	%rsi
	pushq	%r9
	UNWIND_HINT_EMPTY
	movq	%rdi, %rsi
	movq	%r10, %rdi
	call	moat_value_of_map
	movq	%rax, %r8
	popq	%r9
	popq	%rsi
	popq	%rdi
	UNWIND_HINT_FUNC
	movq	PER_CPU_VAR(moat_run), %r10
	movq	MOAT_RUN_calling(%r10), %r11
	jmp	.Lelement_key

/*
 * From moat_return, with a number that no local call has: the callback returns R9. PKRS is
 * open, IST vectors are at the landing areas, the restart address is moat_return_open.
 */
SYM_INNER_LABEL(moat_callback_return, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	MOAT_LEAVE_VIEW
	MOAT_IST_KERNEL
	movq	PER_CPU_VAR(moat_run), %rsp

	/* RSP: the callback's struct moat_run; PKRS open, IST vectors at the kernel's stacks. */
SYM_INNER_LABEL(moat_callback_leave, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	incq	PER_CPU_VAR(moat_calls)
	/* Another run may come to be where this one was, which moat_runs does not count. */
	movq	$0, PER_CPU_VAR(moat_resume_run)
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%rsp)
	popq	PER_CPU_VAR(moat_run)
	leaq	(MOAT_RUN_SIZE - 8)(%rsp), %rsp
	jz	.Lcallback_left
	sti
.Lcallback_left:
	movq	%r9, %rax
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	UNWIND_HINT_FUNC
	RET

	/* The same, but the program is done, as it may not be in a callback. */
SYM_INNER_LABEL(moat_callback_exit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	movq	%rsp, %rdi
	call	moat_no_return

	/* The run is to end: it does once the helper has stopped calling back. */
SYM_INNER_LABEL(moat_callback_stop, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	cli
	movq	MOAT_RUN_of(%rsp), %rax
	movq	MOAT_CALLING_root(%rax), %rax
	movl	$1, %r9d
	movq	%r9, MOAT_RUN_stop(%rax)
	jmp	moat_callback_leave
SYM_CODE_END(moat_callback)

/*
 * moat_audit for programs that have callbacks: what there is once for the whole program is
 * in the struct moat_run of that, where the run is told to stop, too.
 */
.macro MOAT_AUDITED_NESTED call:req
	UNWIND_HINT_EMPTY
	leaq	8(%rsp), %rax
	MOAT_ROOT %rax
	movq	$0, MOAT_RUN_stop(%rax)
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%rsi
	pushq	%rdi
	movq	%rax, %rdi
	movq	%r11, %rsi
	movq	%rsp, %rdx
	call	\call
	addq	$5*8, %rsp
	popq	%rcx
	cmpq	$0, MOAT_RUN_stop(%rcx)
	jne	moat_stop
	RET
.endm

SYM_CODE_START(moat_audit_nested)
	MOAT_AUDITED_NESTED moat_audited_call
SYM_CODE_END(moat_audit_nested)

/* As moat_audit_lock */
SYM_CODE_START(moat_audit_lock_nested)
	MOAT_AUDITED_NESTED moat_audited_lock
SYM_CODE_END(moat_audit_lock_nested)

/* The same of timers of map values: their programs have callbacks, or count as such. */
SYM_CODE_START(moat_audit_timer)
	MOAT_AUDITED_NESTED moat_audited_timer
SYM_CODE_END(moat_audit_timer)
