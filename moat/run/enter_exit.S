/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into a run and out of it: moat_enter, moat_exit, moat_stop. What they keep to is in
 * gates.h.
 */
#include "gates.h"

.section .noinstr.text, "ax"

/*
 * Into the slot \slot, R10 being struct moat_run: IST vectors, RDI, RSP, RBP.
 * Leaves the flags alone.
 */
.macro MOAT_TO_SLOT slot:req
	MOAT_IST_LANDING \slot
	movq	MOAT_SLOT_snap(\slot), %rdi
	movq	MOAT_SLOT_rsp(\slot), %rsp
	movq	%rsp, %rbp
.endm

/* What an entry into a slot starts over with. */
.macro MOAT_RELOAD run:req
	movq	MOAT_RUN_slot(\run), %rcx
	movq	MOAT_RUN_domain(\run), %r11
.endm

/*
 * Have one of the context's programs, \prog, fill in the slot, or store what is in it.
 * RCX: slot; R8: struct moat_run, which a leaf does not ask for; R11: domain; RDI: ctx.
 */
.macro MOAT_CONTEXT prog:req
	movq	MOAT_SLOT_snap(%rcx), %rsi
	movq	\prog(%r11), %rdx
	CALL_NOSPEC rdx
.endm

/*
 * With \args what an extension is called with goes to above its stack: RSI, R9, R10, R8; if
 * it is \bare, RDI, too, since that is not the context, and there is none.
 */
.macro MOAT_BEGIN args=0 bare=0
	MOAT_BEGIN_RUN .Ltoo_deep
.if \args
	movq	MOAT_SLOT_rsp(%rcx), %rax
	movq	%rsi, (%rax)
	movq	%r9, 8(%rax)
	movq	%r10, 16(%rax)
	movq	%r8, 24(%rax)
.endif
.if \bare
	movq	%rdi, 32(%rax)
	movq	$0, MOAT_RUN_ctx(%rsp)
.endif
	testl	$MOAT_DOM_SLOW_IN, MOAT_DOM_flags(%r11)
	jnz	.Lslow_in
.endm

/*
 * enter: u64 (void *ctx), jumped to by the entry stub of an image whose context a leaf
 * loads: moat_ctx_plan.leaf
 *
 *		on entry		in the program
 * PKRS		open			closed
 * RSP, RBP	kernel			window
 * R11		struct moat_domain *
 * RDI		ctx			snapshot
 * IF		any			as on entry
 * IST		kernel stacks		landing areas
 *
 * RBX, R13, R14 and R15 are the stub's to save and to hide, if the program uses them.
 */
SYM_CODE_START(moat_enter)
	MOAT_BEGIN
	MOAT_CONTEXT MOAT_DOM_load
.Lenter:
	movq	%rsp, %r10
	cli
	leaq	moat_enter_commit(%rip), %r12
.Lenter_close:
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%r10)
	MOAT_HIDE
	MOAT_TO_SLOT %rcx
	movl	MOAT_DOM_pkrs(%r11), %eax
	movq	MOAT_DOM_body(%r11), %r11
	MOAT_CLOSE
	MOAT_JUMP moat_enter_jmp

SYM_INNER_LABEL(moat_enter_commit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	movq	PER_CPU_VAR(moat_run), %r10
	MOAT_RELOAD %r10
	jmp	.Lenter_close

/* enter, for programs that have no context to load */
SYM_INNER_LABEL(moat_enter_bare, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	MOAT_BEGIN
	jmp	.Lenter

/* enter, for programs whose context no leaf loads */
SYM_INNER_LABEL(moat_enter_load, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	MOAT_BEGIN
	orl	$MOAT_RUN_STORE, MOAT_RUN_flags(%rsp)
	movq	%rsp, %r8
	MOAT_CONTEXT MOAT_DOM_load
	MOAT_RELOAD %rsp
	testq	%rax, %rax
	jz	.Lenter
.Lnot_loaded:
	decq	%rax				/* 1 + the verdict */
	cli
	jmp	.Lleave_early

/* enter, for extensions that are not called with the context: RDI, RSI, RDX, RCX, R8 */
SYM_INNER_LABEL(moat_enter_bare_args, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_FUNC
	movq	%rdx, %r9
	movq	%rcx, %r10
	MOAT_BEGIN args=1 bare=1
	jmp	.Lenter

/* enter, for extensions that are called with more than the context: RSI, RDX, RCX, R8 */
SYM_INNER_LABEL(moat_enter_args, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_FUNC
	movq	%rdx, %r9
	movq	%rcx, %r10
	MOAT_BEGIN args=1

.Lslow_in:
	movl	MOAT_DOM_flags(%r11), %eax
	testl	$MOAT_DOM_VIEW, %eax
	jz	.Lprepare
	/* IF moves to where sites do not look for it. */
	movl	MOAT_RUN_flags(%rsp), %edx
	shrl	$4, %edx
	andl	$MOAT_RUN_VIEW_IF, %edx
	orl	$MOAT_RUN_VIEW, %edx
	movq	%rdx, MOAT_RUN_flags(%rsp)
	testl	$MOAT_DOM_LONG_IN, %eax
	jz	.Lview
.Lprepare:
	testl	$MOAT_DOM_DEAD, %eax
	jnz	.Lverdict
	movq	%rsp, %r8
	testl	$MOAT_DOM_LOAD, %eax
	jnz	.Lload
	testl	$MOAT_DOM_PREPARE, %eax
	jz	.Lprepared
	movq	%rsp, %rdi
	call	moat_prepare
	jmp	.Lreload
.Lload:
	MOAT_CONTEXT MOAT_DOM_load
.Lreload:
	MOAT_RELOAD %rsp
	testl	$MOAT_DOM_LEAF, MOAT_DOM_flags(%r11)
	jnz	.Lprepared
	orl	$MOAT_RUN_STORE, MOAT_RUN_flags(%rsp)
	testq	%rax, %rax
	jnz	.Lnot_loaded
.Lprepared:
	testl	$MOAT_RUN_VIEW, MOAT_RUN_flags(%rsp)
	jz	.Lenter

	/* As .Lenter, into a view. */
.Lview:
	incq	PER_CPU_VAR(moat_view_runs)
	movq	%rsp, %r10
	cli
	leaq	moat_view_commit(%rip), %r12
.Lview_close:
	MOAT_HIDE
	MOAT_TO_SLOT %rcx
	MOAT_ENTER_VIEW %r11
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%r10)
	movl	MOAT_DOM_view_pkrs(%r11), %eax
	movq	MOAT_DOM_body(%r11), %r11
	MOAT_CLOSE
	MOAT_JUMP moat_view_jmp

SYM_INNER_LABEL(moat_view_commit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_EMPTY
	movq	PER_CPU_VAR(moat_run), %r10
	MOAT_RELOAD %r10
	jmp	.Lview_close

.Ltoo_deep:
	UNWIND_HINT_EMPTY
SYM_INNER_LABEL(moat_run_too_deep, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	incq	PER_CPU_VAR(moat_too_deep)
	movq	MOAT_DOM_verdict(%r11), %rax
	jmp	.Lunwind

/*
 * exit: the program is done. EAX: its return value.
 *
 *		on entry		on return to the caller of enter
 * PKRS		closed			open
 * RSP		window, or anything	as before enter
 * IF		as before enter		as before enter
 * IST		landing areas		kernel stacks
 */
SYM_INNER_LABEL(moat_exit, SYM_L_GLOBAL)
	UNWIND_HINT_EMPTY
	ANNOTATE_NOENDBR
	cli
	movl	%eax, %r9d
	leaq	moat_exit_open(%rip), %r12
SYM_INNER_LABEL(moat_exit_open, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	MOAT_OPEN_PKRS
	cmpq	$0, PER_CPU_VAR(moat_kernel_cr3)
	jne	.Lleave_view
.Lleave_bpf:
	MOAT_IST_KERNEL
	movq	PER_CPU_VAR(moat_run), %rsp
	movl	%r9d, %eax
	movq	MOAT_RUN_domain(%rsp), %r11
	incq	PER_CPU_VAR(moat_runs)
	testl	$(MOAT_RUN_IF | MOAT_RUN_STORE), MOAT_RUN_flags(%rsp)
	js	.Lstore
	/* ZF: clear if the caller had interrupts on. */
.Lleave:
	popq	PER_CPU_VAR(moat_run)
	/* The fields of struct moat_run are 8 bytes nearer from here on. */
	movq	MOAT_RUN_slot - 8(%rsp), %rcx
	movq	MOAT_DOM_slots(%r11), %rdx
	movq	%rcx, %gs:(%rdx)
	jz	.Lleft
	sti
.Lleft:
	addq	$(MOAT_RUN_SIZE - 8), %rsp
.Lunwind:
	popq	%r12
	popq	%rbp
	UNWIND_HINT_FUNC
#ifdef CONFIG_PREEMPT_COUNT
	decl	PER_CPU_VAR(__preempt_count)
#ifdef CONFIG_PREEMPTION
	jz	.Lresched
#endif
#endif
	RET
#ifdef CONFIG_PREEMPTION
.Lresched:
	call	preempt_schedule_thunk
	RET
#endif

.Lleave_view:
	UNWIND_HINT_EMPTY
	MOAT_LEAVE_VIEW
	jmp	.Lleave_bpf

.Lstore:
	UNWIND_HINT_EMPTY
	testl	$MOAT_RUN_CALLBACK, MOAT_RUN_flags(%rsp)
	jnz	moat_callback_exit
	/* Both, or neither, are rare: GRANTS is the sign. */
	testb	$(MOAT_DOM_STORE | MOAT_DOM_GRANTS), MOAT_DOM_flags(%r11)
	jle	.Lmay_hold
.Lstores:
	movq	%rax, MOAT_RUN_r0(%rsp)
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%rsp)
	jz	.Lstore_off
	sti
.Lstore_off:
	movq	MOAT_RUN_slot(%rsp), %rcx
	movq	MOAT_RUN_ctx(%rsp), %rdi
	movq	%rsp, %r8
	MOAT_CONTEXT MOAT_DOM_store
	cli
	movq	MOAT_RUN_r0(%rsp), %rax
	movq	MOAT_RUN_domain(%rsp), %r11
.Lstored:
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%rsp)
	jmp	.Lleave

	/* ZF: nothing is stored, nor held. EAX is the verdict still. */
.Lmay_hold:
	jz	.Lstored
	cmpl	$0, MOAT_RUN_holds(%rsp)
	jne	.Lholds
	testl	$MOAT_DOM_STORE, MOAT_DOM_flags(%r11)
	jnz	.Lstores
	jmp	.Lstored

.Lholds:
SYM_INNER_LABEL(moat_run_holds, SYM_L_GLOBAL)
	UNWIND_HINT_EMPTY
	ANNOTATE_NOENDBR
	movq	%rsp, %rdi
	call	moat_held_on

/* stop: end the current run with the program type's safe verdict. */
SYM_INNER_LABEL(moat_stop, SYM_L_GLOBAL)
	UNWIND_HINT_EMPTY
	ANNOTATE_NOENDBR
	movq	PER_CPU_VAR(moat_run), %rsp
	testl	$MOAT_RUN_CALLBACK, MOAT_RUN_flags(%rsp)
	jnz	moat_callback_stop
	movq	MOAT_RUN_domain(%rsp), %r11
	testl	$MOAT_DOM_GRANTS, MOAT_DOM_flags(%r11)
	jnz	.Lgive_back
.Lverdict:
	/* Nothing is stored, nor held. RSP: struct moat_run; R11: domain. */
SYM_INNER_LABEL(moat_run_over, SYM_L_GLOBAL)
	UNWIND_HINT_EMPTY
	ANNOTATE_NOENDBR
	cli
	movq	MOAT_DOM_verdict(%r11), %rax
.Lleave_early:
	incq	PER_CPU_VAR(moat_runs)
	jmp	.Lstored

	/* As helpers do, with interrupts on if the caller had them on. */
.Lgive_back:
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%rsp)
	jz	.Lgive_back_off
	sti
.Lgive_back_off:
	movq	%rsp, %rdi
	call	moat_give_back
	movq	MOAT_RUN_domain(%rsp), %r11
	jmp	.Lverdict
SYM_CODE_END(moat_enter)
