/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the gates share. They are every way between a program and the kernel, but for
 * exceptions (arch/x86/entry/moat_64.S in the kernel): in and out of a run is
 * enter_exit.S, calls and their returns are call_return.S, calls that need no audit
 * map_calls.S, functions of a program that helpers call callback.S, those that timers
 * call timer.S; other programs in the place of functions, or tracing them, extension.S.
 *
 * They are in .noinstr.text, so that no probe may come between: an INT3 here would be
 * taken for the program's.
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
#ifndef MOAT_RUN_GATES_H
#define MOAT_RUN_GATES_H

#include <linux/linkage.h>
#include <asm/asm-offsets.h>
#include <asm/asm.h>
#include <asm/moat.h>
#include <asm/nospec-branch.h>
#include <asm/processor-flags.h>
#include <asm/unwind_hints.h>

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
 * Hide what the kernel has in registers: EDX, which a landing area may get to see,
 * before IST vectors point there. By MOV, which leaves the flags to MOAT_JUMP.
 */
.macro MOAT_HIDE
	movl	$0, %edx
	movl	$0, %esi
	movl	$0, %r8d
.endm

/* What struct moat_run holds that enter does not fill in. */
#define MOAT_RUN_UNINITIALISED	(MOAT_RUN_SIZE - MOAT_RUN_r0)

/*
 * Begin a run: a frame on the kernel stack, a slot in the window. R11: domain;
 * RDI: ctx. Leaves the slot in RCX and struct moat_run at RSP, or goes to \too_deep.
 * With \flags it has these, too, before an NMI can see it.
 *
 * An interrupt between the two accesses to the head of the list may run the
 * program as well, and gives the slot back before it returns.
 */
.macro MOAT_BEGIN_RUN too_deep:req flags=0
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
	jz	\too_deep
	movq	MOAT_SLOT_next(%rcx), %rax
	movq	%rax, %gs:(%rdx)
	incq	%gs:MOAT_SLOTS_runs(%rdx)
	subq	$MOAT_RUN_UNINITIALISED, %rsp
	pushq	$0				/* deadline */
	pushq	%rdi
	pushq	%rcx
	pushq	%r11
	pushfq
.if \flags
	orl	$\flags, (%rsp)
.endif
	pushq	PER_CPU_VAR(moat_run)
	movq	%rsp, PER_CPU_VAR(moat_run)
.endm

/*
 * \run: a struct moat_run; of a callback, that of the program in its place, which has what there
 * is once for all of them.
 */
.macro MOAT_ROOT run:req
	testl	$MOAT_RUN_CALLBACK, MOAT_RUN_flags(\run)
	jz	.Lroot_\@
	movq	MOAT_RUN_of(\run), \run
	movq	MOAT_CALLING_root(\run), \run
.Lroot_\@:
.endm

/* Hide what was needed up to here, and close: EAX is PKRS, EDX zero. */
.macro MOAT_CLOSE
	movl	$0, %r10d
	movl	$MSR_IA32_PKRS, %ecx
	wrmsr
.endm

#endif
