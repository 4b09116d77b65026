/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A function of a program that a timer calls: a run in which nothing happens but that one
 * callback (callback.S). What this keeps to is in gates.h.
 *
 * It has no context: what is for a context may not be called (moat_run.flags has
 * MOAT_RUN_TIMER), and nothing is loaded or stored. How it ends is as in enter_exit.S.
 */
#include "gates.h"

.section .noinstr.text, "ax"

/*
 * timer: void (struct bpf_map *map, void *key, void *value, struct moat_calling *calling,
 *		struct moat_domain *domain)
 *
 *		on entry		in the function
 * PKRS		open			closed
 * RSP		kernel			window: struct moat_calling.sp
 * RDI to RDX	arguments		the map, a copy of the key, where the value is
 * IF		any			as on entry
 * IST		kernel stacks		landing areas
 *
 * Of @calling, which outlasts the run, @entry is filled in.
 */
SYM_CODE_START(moat_timer)
	UNWIND_HINT_FUNC
	movq	%r8, %r11
	movq	%rcx, %r8
	movq	%rdx, %r10
	movq	%rdi, %r9
	xorl	%edi, %edi
	MOAT_BEGIN_RUN moat_run_too_deep MOAT_RUN_TIMER
	movq	%r8, MOAT_RUN_calling(%rsp)
	movq	$0, MOAT_RUN_stop(%rsp)
	movl	MOAT_DOM_flags(%r11), %eax
	testl	$MOAT_DOM_DEAD, %eax
	jnz	moat_run_over
	testl	$MOAT_DOM_VIEW, %eax
	jnz	.Ltimer_view
.Ltimer_begin:
	movq	%rsp, %rdi
	pushq	%r11				/* for the alignment of the stack */
	pushq	%r10
	pushq	%rsi
	pushq	%r9
	movq	%r9, %rsi
	call	moat_timer_begin
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%r11
	testq	%rax, %rax
	jz	.Ltimer_too_deep
	xorl	%ecx, %ecx
	call	moat_callback_element
	cmpq	$0, MOAT_RUN_stop(%rsp)
	jne	moat_stop
	movq	MOAT_RUN_domain(%rsp), %r11
	cmpl	$0, MOAT_RUN_holds(%rsp)
	je	moat_run_over
	jmp	moat_run_holds

	/* As in moat_enter */
.Ltimer_view:
	movl	MOAT_RUN_flags(%rsp), %edx
	shrl	$4, %edx
	andl	$MOAT_RUN_VIEW_IF, %edx
	orl	$(MOAT_RUN_VIEW | MOAT_RUN_TIMER), %edx
	movq	%rdx, MOAT_RUN_flags(%rsp)
	incq	PER_CPU_VAR(moat_view_runs)
	jmp	.Ltimer_begin

	/* The kernel's stack is full of callbacks. */
.Ltimer_too_deep:
	incq	PER_CPU_VAR(moat_too_deep)
	jmp	moat_run_over
SYM_CODE_END(moat_timer)
