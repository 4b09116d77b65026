/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tail calls: what a site calls in place of a helper. What they keep to is in gates.h.
 *
 * If there is a program to go to, the run ends here as it does in moat_exit, but that the
 * caller of the entry stub gets the other program in place of a verdict. The site has PKRS
 * open, IST vectors at the kernel's stacks and interrupts as the caller had them, and that
 * is what a program is called with. The other one may be isolated or not; it takes a
 * slot, loads the context and closes by itself, if it is.
 *
 * How many tail calls there were is in what the entry stub pushed, struct moat_tail: the
 * kernel's stack. A program with a site of these has such a stub: code/image.rs.
 */
#include "gates.h"

/* struct moat_tail, from struct moat_run */
#define TAIL		MOAT_RUN_SIZE
/* The same at the beginning of what a site calls */
#define RUN		8
#define RUN_PUSHED	16			/* and one word more */

.section .noinstr.text, "ax"

/*
 * RCX: where to go on, of the program that the array has at the index in R10; RSI: the
 * array, as the program says; R11: struct moat_site *. Clobbers RAX, RDX. To \none if
 * there is none; with \count, an attempt counts, as it does elsewhere.
 */
.macro MOAT_TAIL_TARGET of:req none:req count=0
	UNWIND_HINT_EMPTY
	testl	$MOAT_RUN_CALLBACK, RUN + MOAT_RUN_flags(%rsp)
	jnz	.Lother_\of
	movq	MOAT_SITE_map(%r11), %rax
	cmpq	%rax, %rsi
	jne	.Lother_\of
	/* Not known, and the program says so, too. */
	testq	%rax, %rax
	jz	.Lother_\of
.Lmap_\of:
	movl	%r10d, %edx
	cmpl	MOAT_ARRAY_max_entries(%rax), %edx
	jae	\none
	cmpl	$MOAT_MAX_TAIL_CALLS, RUN + TAIL + MOAT_TAIL_count(%rsp)
	jae	\none
.if \count
	incl	RUN + TAIL + MOAT_TAIL_count(%rsp)
.endif
	movq	MOAT_ARRAY_ptrs(%rax, %rdx, 8), %rcx
	testq	%rcx, %rcx
	jz	\none
	movq	MOAT_PROG_func(%rcx), %rcx
	addq	$MOAT_TAIL_OFFSET, %rcx
	incq	PER_CPU_VAR(moat_tail_calls)
.endm

/* Another array than the one that the site knows, or a callback: may it go there? */
.macro MOAT_TAIL_OTHER of:req
.Lother_\of:
	pushq	%r10
	leaq	RUN_PUSHED(%rsp), %rdi
	movq	%rsi, %rdx
	movq	%r11, %rsi
	call	moat_tail_map
	popq	%r10
	testq	%rax, %rax
	jnz	.Lmap_\of
	jmp	moat_stop
.endm

/* Have the context stored. The run is \at bytes above RSP. Clobbers what C does. */
.macro MOAT_TAIL_STORE at:req
	movq	\at + MOAT_RUN_slot(%rsp), %rcx
	movq	\at + MOAT_RUN_ctx(%rsp), %rdi
	leaq	\at(%rsp), %r8
	movq	MOAT_SLOT_snap(%rcx), %rsi
	movq	MOAT_DOM_store(%r11), %rdx
	CALL_NOSPEC rdx
.endm

/*
 * Of the main program.
 *
 *		on entry		in the other program
 * PKRS		open			open
 * RSP		struct moat_run - 8	below the return address of the stub's caller
 * RDI		untrusted		ctx
 * RAX					struct moat_tail's deadline and count
 * RBX, RBP, R12 to R15			the caller's
 * IF		as before enter		as before enter
 */
SYM_CODE_START(moat_tail_call)
	MOAT_TAIL_TARGET main .Lnone count=1
	addq	$RUN, %rsp
	movq	MOAT_RUN_domain(%rsp), %r11
	testl	$MOAT_RUN_STORE, MOAT_RUN_flags(%rsp)
	jnz	.Lstore
.Lstored:
	movq	MOAT_RUN_ctx(%rsp), %rdi
	movq	MOAT_RUN_slot(%rsp), %rax
	movq	MOAT_DOM_slots(%r11), %rdx
	incq	PER_CPU_VAR(moat_runs)
	popq	PER_CPU_VAR(moat_run)
	/* As in moat_exit; who interrupts this gives back what was taken meanwhile. */
	movq	%rax, %gs:(%rdx)
	addq	$(TAIL - 8), %rsp
	popq	%r12
	popq	%rbp
	popq	%rdx				/* into the stub */
	popq	%rax
#ifdef CONFIG_PREEMPT_COUNT
	decl	PER_CPU_VAR(__preempt_count)
#ifdef CONFIG_PREEMPTION
	jz	.Lresched
#endif
#endif
.Lgo:
	movq	MOAT_DOM_tail(%r11), %r11
	JMP_NOSPEC r11
#ifdef CONFIG_PREEMPTION
.Lresched:
	call	preempt_schedule_thunk
	jmp	.Lgo
#endif

.Lstore:
	testl	$MOAT_DOM_GRANTS, MOAT_DOM_flags(%r11)
	jnz	.Lmay_hold
.Lholds_nothing:
	testl	$MOAT_DOM_STORE, MOAT_DOM_flags(%r11)
	jz	.Lstored
	movq	%rcx, MOAT_RUN_r0(%rsp)
	MOAT_TAIL_STORE 0
	movq	MOAT_RUN_r0(%rsp), %rcx
	movq	MOAT_RUN_domain(%rsp), %r11
	jmp	.Lstored

	/* A run that holds something may not end, by a tail call neither. */
.Lmay_hold:
	cmpl	$0, MOAT_RUN_holds(%rsp)
	je	.Lholds_nothing
	movq	%rsp, %rdi
	call	moat_held_on
	jmp	moat_stop

.Lnone:
	xorl	%eax, %eax
	RET
	MOAT_TAIL_OTHER main
SYM_CODE_END(moat_tail_call)

/*
 * Of a function: the run goes on when the other program is done, since the function's
 * caller is the program's own. The image knows by MOAT_TAIL_TAKEN that there is a result.
 */
SYM_CODE_START(moat_tail_nested)
	MOAT_TAIL_TARGET nested .Lnone_nested
	pushq	%rcx
	call	moat_tail_room
	popq	%rcx
	testq	%rax, %rax
	jz	.Lno_room
	movq	RUN + MOAT_RUN_domain(%rsp), %r11
	testl	$MOAT_RUN_STORE, RUN + MOAT_RUN_flags(%rsp)
	jz	.Lnested
	testl	$MOAT_DOM_STORE, MOAT_DOM_flags(%r11)
	jz	.Lnested
	pushq	%rcx
	MOAT_TAIL_STORE RUN_PUSHED
	popq	%rcx
.Lnested:
	/* What the function calls is no tail call of its caller's. */
	movl	RUN + TAIL + MOAT_TAIL_count(%rsp), %eax
	incl	%eax
	shlq	$32, %rax
	movl	RUN + TAIL + MOAT_TAIL_deadline(%rsp), %edx
	orq	%rdx, %rax
	movq	RUN + MOAT_RUN_ctx(%rsp), %rdi
	call	.Lcall
	pushq	%rax
	leaq	RUN_PUSHED(%rsp), %rdi
	call	moat_tail_back
	popq	%rdx
	testq	%rax, %rax
	jnz	moat_stop
	movl	%edx, %eax
	btsq	$MOAT_TAIL_TAKEN, %rax
	RET
.Lno_room:
	decq	PER_CPU_VAR(moat_tail_calls)
.Lnone_nested:
	xorl	%eax, %eax
	RET
.Lcall:
	pushq	%rbp
	movq	%rsp, %rbp
	JMP_NOSPEC rcx
	MOAT_TAIL_OTHER nested
SYM_CODE_END(moat_tail_nested)
