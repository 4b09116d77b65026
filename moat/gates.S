/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gates: every way between a program and the kernel, but for exceptions
 * (arch/x86/entry/moat_64.S in the kernel).
 *
 * While the IST vectors point at the landing areas, an NMI, #DB or #MC puts its
 * frame in memory the program can write. RAX, RCX, RDX, RIP, RSP and the flags
 * may come back from there forged. Code in that stretch therefore keeps its
 * restart address in R12, decides by per-CPU memory and by registers other than
 * those, and can be started over: moat_landing() in the kernel does that.
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

.text

/* Interrupts as the caller of the program had them. */
.macro MOAT_RESTORE_IF run:req
	testl	$X86_EFLAGS_IF, MOAT_RUN_flags(\run)
	jz	.Lif_off_\@
	sti
.Lif_off_\@:
.endm

/*
 * The last step into a program. R11: where; R10D: RFLAGS the caller had; PKRS
 * closed. STI holds interrupts off until the jump is done, so that none sees
 * R12 zero outside of the image.
 */
.macro MOAT_JUMP name:req
	testl	$X86_EFLAGS_IF, %r10d
	jz	.Lmoat_off_\@
	xorl	%r12d, %r12d
SYM_INNER_LABEL(\name, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	sti
	ANNOTATE_RETPOLINE_SAFE
	jmp	*%r11
.Lmoat_off_\@:
	xorl	%r12d, %r12d
	ANNOTATE_RETPOLINE_SAFE
	jmp	*%r11
SYM_INNER_LABEL(\name\()_end, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	int3
.endm

/*
 * enter: u64 (void *ctx), jumped to by the entry stub of an image
 *
 *		on entry		in the program
 * PKRS		open			closed
 * RSP		kernel, return address	window
 * R11		struct moat_domain *
 * RDI		ctx			snapshot
 * IF		any			as on entry
 * IST		kernel stacks		landing areas
 *
 * Leaves the caller's registers and a struct moat_run on the kernel stack.
 */
SYM_CODE_START(moat_enter)
	UNWIND_HINT_FUNC
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	subq	$MOAT_RUN_SIZE, %rsp
	UNWIND_HINT_EMPTY
#ifdef CONFIG_PREEMPT_COUNT
	incl	PER_CPU_VAR(__preempt_count)
#endif
	movl	PER_CPU_VAR(cpu_number), %eax
	movq	MOAT_DOM_cpus(%r11), %rdx
	movq	(%rdx, %rax, 8), %rdx
	movl	(%rdx), %eax
	cmpl	$MOAT_NEST, %eax
	jae	.Ltoo_deep
	incl	(%rdx)
	shll	$6, %eax			/* sizeof(struct moat_slot) */
	leaq	MOAT_SLOTS_slot(%rdx, %rax), %rax
	movq	%rax, MOAT_RUN_slot(%rsp)
	movq	%rdx, MOAT_RUN_cpu_slots(%rsp)
	movq	%r11, MOAT_RUN_domain(%rsp)
	movq	%rdi, MOAT_RUN_ctx(%rsp)
	movq	$0, MOAT_RUN_stop(%rsp)
	movq	$0, MOAT_RUN_site(%rsp)
	movq	$0, MOAT_RUN_deadline(%rsp)
	movq	$0, PER_CPU_VAR(moat_resume_run)
	pushfq
	popq	MOAT_RUN_flags(%rsp)
	movq	PER_CPU_VAR(moat_run), %rax
	movq	%rax, MOAT_RUN_prev(%rsp)
	movq	%rsp, PER_CPU_VAR(moat_run)
	testl	$MOAT_DOM_SLOW, MOAT_DOM_flags(%r11)
	jnz	.Lslow
.Lenter:
	xorl	%esi, %esi
	xorl	%ebx, %ebx
	xorl	%ebp, %ebp
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
	cli
	leaq	moat_enter_commit(%rip), %r12
SYM_INNER_LABEL(moat_enter_commit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	movq	PER_CPU_VAR(moat_run), %rdx
	movq	MOAT_RUN_slot(%rdx), %rcx
	MOAT_IST_LANDING %rcx
	movq	MOAT_SLOT_snap(%rcx), %rdi
	movq	MOAT_SLOT_rsp(%rcx), %rsp
	movl	MOAT_RUN_flags(%rdx), %r10d
	movq	MOAT_RUN_domain(%rdx), %rdx
	movq	MOAT_DOM_body(%rdx), %r11
	movl	MOAT_DOM_pkrs(%rdx), %eax
	xorl	%edx, %edx
	movl	$MSR_IA32_PKRS, %ecx
	wrmsr
	MOAT_JUMP moat_enter_jmp

.Lslow:
	testl	$MOAT_DOM_LOAD, MOAT_DOM_flags(%r11)
	jz	.Lprepare
	movq	MOAT_DOM_load(%r11), %rdx
	movq	MOAT_RUN_slot(%rsp), %rsi
	movq	MOAT_SLOT_snap(%rsi), %rsi
	CALL_NOSPEC rdx
	jmp	.Lenter

.Lprepare:
	testl	$MOAT_DOM_DEAD, MOAT_DOM_flags(%r11)
	jnz	.Ldead
	movq	%rsp, %rdi
	call	moat_prepare
	testq	%rax, %rax
	jz	.Lenter
	decq	%rax				/* the context would not load */
	jmp	.Lleave

.Ltoo_deep:
	incq	PER_CPU_VAR(moat_too_deep)
	movq	MOAT_DOM_verdict(%r11), %rax
	jmp	.Lunwind

.Ldead:
	movq	MOAT_DOM_verdict(%r11), %rax
	jmp	.Lleave

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
	MOAT_IST_KERNEL
	movq	PER_CPU_VAR(moat_run), %rsp
	movl	%r9d, %eax
	movq	MOAT_RUN_domain(%rsp), %r11
	testl	$MOAT_DOM_FINISH, MOAT_DOM_flags(%r11)
	jnz	.Lfinish
.Lleave:
	incq	PER_CPU_VAR(moat_runs)
	movq	MOAT_RUN_prev(%rsp), %rdx
	movq	%rdx, PER_CPU_VAR(moat_run)
	movq	MOAT_RUN_cpu_slots(%rsp), %rdx
	decl	(%rdx)
	MOAT_RESTORE_IF %rsp
.Lunwind:
	addq	$MOAT_RUN_SIZE, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
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

.Lfinish:
	UNWIND_HINT_EMPTY
	movq	%rax, MOAT_RUN_r0(%rsp)
	MOAT_RESTORE_IF %rsp
	movq	%rsp, %rdi
	call	moat_finish
	movq	MOAT_RUN_r0(%rsp), %rax
	jmp	.Lleave

/* stop: end the current run with the program type's safe verdict. */
SYM_INNER_LABEL(moat_stop, SYM_L_GLOBAL)
	UNWIND_HINT_EMPTY
	ANNOTATE_NOENDBR
	movq	PER_CPU_VAR(moat_run), %rsp
	movq	MOAT_RUN_domain(%rsp), %r11
	movq	MOAT_DOM_verdict(%r11), %rax
	jmp	.Lleave
SYM_CODE_END(moat_enter)

/*
 * call: a helper call, or the return of a local call.
 *
 *		on entry		back in the program
 * PKRS		closed			closed; open in the helper
 * RSP		window, or anything	window, scratch: the image sets it
 * R11		site number, untrusted
 * RDI..R8	arguments, untrusted	zero
 * RAX					the helper's result
 * IF		as before enter		as before enter, in the helper too
 * IST		landing areas		landing areas; the kernel's in between
 */
SYM_CODE_START(moat_call)
	UNWIND_HINT_EMPTY
	cli
	movq	%rcx, %r9
	movq	%rdx, %r10
	leaq	moat_call_open(%rip), %r12
SYM_INNER_LABEL(moat_call_open, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	MOAT_OPEN_PKRS
	MOAT_IST_KERNEL
	movq	PER_CPU_VAR(moat_run), %rsp
	movq	MOAT_RUN_domain(%rsp), %rax
	cmpq	MOAT_DOM_nr_sites(%rax), %r11
	jae	.Lno_site
	shlq	$5, %r11			/* sizeof(struct moat_site) */
	addq	MOAT_DOM_sites(%rax), %r11
	movq	%r11, MOAT_RUN_site(%rsp)
	testl	$MOAT_SITE_AUDIT, MOAT_SITE_flags(%r11)
	jnz	.Laudit
	movq	MOAT_SITE_func(%r11), %rax
	movq	%r10, %rdx
	movq	%r9, %rcx
	MOAT_RESTORE_IF %rsp
	CALL_NOSPEC rax
.Lreturn:
	cli
	movq	%rax, %r9
	incq	PER_CPU_VAR(moat_calls)
	leaq	moat_call_commit(%rip), %r12
SYM_INNER_LABEL(moat_call_commit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	movq	PER_CPU_VAR(moat_run), %rdx
	movq	MOAT_RUN_slot(%rdx), %rcx
	MOAT_IST_LANDING %rcx
	movq	(%rcx), %rsp			/* the #DF landing area: scratch */
	movq	MOAT_RUN_site(%rdx), %r11
	movq	MOAT_SITE_ret(%r11), %r11
	movl	MOAT_RUN_flags(%rdx), %r10d
	movq	MOAT_RUN_domain(%rdx), %rdx
	movl	MOAT_DOM_pkrs(%rdx), %eax
	xorl	%edx, %edx
	movl	$MSR_IA32_PKRS, %ecx
	wrmsr
	movq	%r9, %rax
	xorl	%edi, %edi
	xorl	%esi, %esi
	xorl	%r8d, %r8d
	MOAT_JUMP moat_call_jmp

.Laudit:
	subq	$8, %rsp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%rsi
	pushq	%rdi
	leaq	6*8(%rsp), %rdi
	movq	%r11, %rsi
	movq	%rsp, %rdx
	MOAT_RESTORE_IF %rdi
	call	moat_audited_call
	addq	$6*8, %rsp
	cmpq	$0, MOAT_RUN_stop(%rsp)
	je	.Lreturn
	cli
	jmp	moat_stop

.Lno_site:
	movq	%rsp, %rdi
	MOAT_RESTORE_IF %rsp
	call	moat_no_site
	cli
	jmp	moat_stop
SYM_CODE_END(moat_call)

/* Stands for the callee where a local call returns through the call gate. */
SYM_FUNC_START(moat_local_return)
	movq	%rdi, %rax
	RET
SYM_FUNC_END(moat_local_return)
