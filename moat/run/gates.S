/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gates: every way between a program and the kernel, but for exceptions
 * (arch/x86/entry/moat_64.S in the kernel).
 *
 * While the IST vectors point at the landing areas, an NMI, #DB or #MC puts its
 * frame in memory the program can write. RAX, RCX, RDX, RIP, RSP and the flags
 * may come back from there forged. Code in that stretch therefore keeps its
 * restart address in R12, decides by per-CPU memory and by registers other than
 * those when it starts over, and can be started over: moat_landing() in the
 * kernel does that.
 *
 * Layouts and offsets: asm/moat.h, asm-offsets.
 */
#include <linux/linkage.h>
#include <asm/asm-offsets.h>
#include <asm/asm.h>
#include <asm/moat.h>
#include <asm/nospec-branch.h>
#include <asm/processor-flags.h>
#include <asm/unwind_hints.h>

/* No probe may come between: an INT3 here would be taken for the program's. */
.section .noinstr.text, "ax"

/* What struct moat_run holds that enter does not fill in. */
#define UNINITIALISED	(MOAT_RUN_SIZE - MOAT_RUN_saved)

/*
 * The last step into a program. R11: where; ZF: clear if the caller had
 * interrupts on; PKRS closed. STI holds interrupts off until the jump is done,
 * so that none sees R12 zero outside of the image.
 */
.macro MOAT_JUMP name:req
	movl	$0, %r12d
SYM_INNER_LABEL(\name, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	jz	.Lmoat_off_\@
	sti
	ANNOTATE_RETPOLINE_SAFE
	jmp	*%r11
.Lmoat_off_\@:
	ANNOTATE_RETPOLINE_SAFE
	jmp	*%r11
SYM_INNER_LABEL(\name\()_end, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	int3
.endm

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

/*
 * Hide what the kernel has in registers, and close: EAX is PKRS. By MOV, which
 * leaves the flags to MOAT_JUMP.
 */
.macro MOAT_CLOSE
	movl	$0, %edx
	movl	$0, %esi
	movl	$0, %r8d
	movl	$0, %r10d
	movl	$MSR_IA32_PKRS, %ecx
	wrmsr
.endm

/* What an entry into a slot starts over with. */
.macro MOAT_RELOAD run:req
	movq	MOAT_RUN_slot(\run), %rcx
	movq	MOAT_RUN_domain(\run), %r11
.endm

/* Have the loader fill in the snapshot. RCX: slot; R11: domain; RDI: ctx. */
.macro MOAT_LOAD
	movq	MOAT_SLOT_snap(%rcx), %rsi
	movq	MOAT_DOM_load(%r11), %rdx
	CALL_NOSPEC rdx
.endm

/*
 * Begin a run: a frame on the kernel stack, a slot in the window. R11: domain;
 * RDI: ctx. Leaves the slot in RCX and struct moat_run at RSP.
 *
 * An interrupt between the two accesses to the head of the list may run the
 * program as well, and gives the slot back before it returns.
 */
.macro MOAT_BEGIN
	UNWIND_HINT_FUNC
	pushq	%rbp
	pushq	%r12
	UNWIND_HINT_EMPTY
#ifdef CONFIG_PREEMPT_COUNT
	incl	PER_CPU_VAR(__preempt_count)
#endif
	movq	MOAT_DOM_slots(%r11), %rdx
	movq	%gs:(%rdx), %rcx
	testq	%rcx, %rcx
	jz	.Ltoo_deep
	movq	MOAT_SLOT_next(%rcx), %rax
	movq	%rax, %gs:(%rdx)
	incq	%gs:MOAT_SLOTS_runs(%rdx)
	subq	$UNINITIALISED, %rsp
	pushq	$0				/* deadline */
	pushq	%rdi
	pushq	%rcx
	pushq	%r11
	pushfq
	pushq	PER_CPU_VAR(moat_run)
	movq	%rsp, PER_CPU_VAR(moat_run)
	testl	$MOAT_DOM_SLOW_IN, MOAT_DOM_flags(%r11)
	jnz	.Lslow_in
.endm

/*
 * enter: u64 (void *ctx), jumped to by the entry stub of an image
 *
 *		on entry		in the program
 * PKRS		open			closed
 * RSP, RBP	kernel			window
 * R11		struct moat_domain *
 * RDI		ctx			snapshot
 * IF		any			as on entry
 * IST		kernel stacks		landing areas
 *
 * RBX, R13, R14 and R15 are saved and hidden only from programs that use them.
 */
SYM_CODE_START(moat_enter)
	MOAT_BEGIN
.Lenter:
	movq	%rsp, %r10
	cli
	leaq	moat_enter_commit(%rip), %r12
.Lenter_close:
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%r10)
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

/* enter, for programs whose snapshot the loader fills in directly. */
SYM_INNER_LABEL(moat_enter_load, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	MOAT_BEGIN
	MOAT_LOAD
	MOAT_RELOAD %rsp
	jmp	.Lenter

.Lslow_in:
	movl	MOAT_DOM_flags(%r11), %eax
	testl	$MOAT_DOM_VIEW, %eax
	jz	.Lcallee
	/* IF moves to where sites do not look for it. */
	movl	MOAT_RUN_flags(%rsp), %edx
	shrl	$4, %edx
	andl	$MOAT_RUN_VIEW_IF, %edx
	orl	$MOAT_RUN_VIEW, %edx
	movq	%rdx, MOAT_RUN_flags(%rsp)
	testl	$MOAT_DOM_LONG_IN, %eax
	jz	.Lview
.Lcallee:
	testl	$MOAT_DOM_CALLEE, %eax
	jz	.Lprepare
	movq	%rbx, MOAT_RUN_saved(%rsp)
	movq	%r13, MOAT_RUN_saved + 8(%rsp)
	movq	%r14, MOAT_RUN_saved + 16(%rsp)
	movq	%r15, MOAT_RUN_saved + 24(%rsp)
	xorl	%ebx, %ebx
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
.Lprepare:
	testl	$MOAT_DOM_DEAD, %eax
	jnz	.Lverdict
	testl	$MOAT_DOM_LOAD, %eax
	jnz	.Lload
	testl	$MOAT_DOM_PREPARE, %eax
	jz	.Lprepared
	movq	%rsp, %rdi
	call	moat_prepare
	testq	%rax, %rax
	jz	.Lreload
	decq	%rax				/* the context would not load */
	movq	MOAT_RUN_domain(%rsp), %r11
	cli
	jmp	.Lrestore
.Lload:
	MOAT_LOAD
.Lreload:
	MOAT_RELOAD %rsp
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
	testl	$MOAT_DOM_SLOW_OUT, MOAT_DOM_flags(%r11)
	jnz	.Lslow_out
.Lleave:
	incq	PER_CPU_VAR(moat_runs)
	popq	PER_CPU_VAR(moat_run)
	/* The fields of struct moat_run are 8 bytes nearer from here on. */
	testl	$MOAT_RUN_IF, MOAT_RUN_flags - 8(%rsp)
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

.Lslow_out:
	UNWIND_HINT_EMPTY
	testl	$MOAT_DOM_FINISH, MOAT_DOM_flags(%r11)
	jz	.Lrestore
	movq	%rax, MOAT_RUN_r0(%rsp)
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%rsp)
	jz	.Lfinish
	sti
.Lfinish:
	movq	%rsp, %rdi
	call	moat_finish
	cli
	movq	MOAT_RUN_r0(%rsp), %rax
	movq	MOAT_RUN_domain(%rsp), %r11
.Lrestore:
	testl	$MOAT_DOM_CALLEE, MOAT_DOM_flags(%r11)
	jz	.Lleave
	movq	MOAT_RUN_saved(%rsp), %rbx
	movq	MOAT_RUN_saved + 8(%rsp), %r13
	movq	MOAT_RUN_saved + 16(%rsp), %r14
	movq	MOAT_RUN_saved + 24(%rsp), %r15
	jmp	.Lleave

/* stop: end the current run with the program type's safe verdict. */
SYM_INNER_LABEL(moat_stop, SYM_L_GLOBAL)
	UNWIND_HINT_EMPTY
	ANNOTATE_NOENDBR
	movq	PER_CPU_VAR(moat_run), %rsp
	movq	MOAT_RUN_domain(%rsp), %r11
.Lverdict:
	cli
	movq	MOAT_DOM_verdict(%r11), %rax
	jmp	.Lrestore
SYM_CODE_END(moat_enter)

/*
 * return: of a local call, and of a helper call that took the long way.
 *
 *		on entry		back in the program
 * PKRS		closed			closed
 * RSP		window, or anything	what the call expects
 * RAX		result			result
 * R11		number, untrusted	clobbered, as are RDI, RSI, R8 and R10
 * IF		as before enter		as before enter
 * IST		landing areas		landing areas
 */
SYM_CODE_START(moat_return)
	UNWIND_HINT_EMPTY
	cli
	movq	%rax, %r9
	leaq	moat_return_open(%rip), %r12
SYM_INNER_LABEL(moat_return_open, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	MOAT_OPEN_PKRS
	MOAT_LEAVE_VIEW
	MOAT_IST_KERNEL
	movq	PER_CPU_VAR(moat_run), %rsp
	movq	MOAT_RUN_domain(%rsp), %rax
	cmpq	MOAT_DOM_nr_returns(%rax), %r11
	jae	.Lno_return
	shlq	$4, %r11			/* sizeof(struct moat_return) */
	addq	MOAT_DOM_returns(%rax), %r11
	movq	%r11, MOAT_RUN_ret(%rsp)
	movq	%r9, %rax

.Lreturn:
	movq	%rax, %r9
	incq	PER_CPU_VAR(moat_calls)
	leaq	moat_return_commit(%rip), %r12
SYM_INNER_LABEL(moat_return_commit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	movq	PER_CPU_VAR(moat_run), %r10
	movq	MOAT_RUN_slot(%r10), %rcx
	MOAT_IST_LANDING %rcx
	movq	MOAT_RUN_ret(%r10), %rdx
	movq	%rbp, %rsp
	subq	MOAT_RETURN_frame(%rdx), %rsp
	movq	MOAT_RETURN_ip(%rdx), %r11
	movq	MOAT_RUN_domain(%r10), %rdx
	testl	$MOAT_RUN_VIEW, MOAT_RUN_flags(%r10)
	movl	MOAT_DOM_pkrs(%rdx), %ecx
	jz	.Lclose
	MOAT_ENTER_VIEW %rdx
	movl	MOAT_DOM_view_pkrs(%rdx), %ecx
.Lclose:
	movl	%ecx, %eax
	testl	$MOAT_RUN_IF, MOAT_RUN_flags(%r10)
	movl	$0, %edi
	MOAT_CLOSE
	movq	%r9, %rax
	MOAT_JUMP moat_return_jmp

.Lno_return:
	movq	%rsp, %rdi
	call	moat_no_return
	jmp	moat_stop

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
	jmp	.Lreturn
SYM_CODE_END(moat_return)

/*
 * What a site calls in place of a helper with a contract. R9, R10: what the
 * program had in RCX and RDX; R11: struct moat_site *.
 */
SYM_CODE_START(moat_audit)
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
	call	moat_audited_call
	addq	$5*8, %rsp
	cmpq	$0, MOAT_RUN_stop + 8(%rsp)
	jne	moat_stop
	RET
SYM_CODE_END(moat_audit)

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
	movq	%rdx, %r10
	.byte	0x49, 0xbb			/* movabsq $site, %r11 */
SITE_LABEL hole_site
	.quad	0
SITE_LABEL lean					/* here if RCX, RDX are no arguments */
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
