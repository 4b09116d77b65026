/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program in the place of a function, and programs that trace it: what the sites behind the
 * function call. What these keep to is in gates.h.
 *
 * What is in its place is a run inside of the run, as what a function goes to by a tail call
 * (tail_call.S). The context is the run's own, whatever the program says, where the function
 * has it; the other arguments are numbers, and only a program that is entered as a function
 * takes them for anything.
 */
#include "gates.h"

/* struct moat_run, from where a site calls */
#define RUN		8
.section .noinstr.text, "ax"

/*
 * Call what \go returns, in Rust, with what is in place of the arguments then; stop if that is
 * zero, go on if it is one: nobody is there. RAX is zero then, and RDX what was returned.
 *
 *		on entry		in what is called
 * PKRS		open			open
 * RSP		struct moat_run - 8	below a return address
 * RDI, RSI, R8	untrusted		the same, or the context
 * R10, R9	untrusted		RDX, RCX: the same, or the context
 * R11		struct moat_site *
 * IF		as before enter		as before enter
 */
.macro MOAT_CALL_OUT go:req
	UNWIND_HINT_EMPTY
	leaq	RUN(%rsp), %rax
	MOAT_ROOT %rax
	pushq	%rax
	pushq	%r11
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%rsi
	pushq	%rdi
	movq	%rax, %rdi
	movq	%r11, %rsi
	movq	%rsp, %rdx
	call	\go
	movq	%rax, %r11
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%r8
	cmpq	$1, %r11
	jb	moat_stop
	je	.Lnobody_\@
	CALL_NOSPEC r11
	popq	%rsi
	popq	%rdi
	pushq	%rax
	call	moat_ext_back
	popq	%rdx
	testq	%rax, %rax
	jnz	moat_stop
	jmp	.Ldone_\@
.Lnobody_\@:
	addq	$16, %rsp
	xorl	%eax, %eax
.Ldone_\@:
.endm

/* Where a function begins. The image knows by MOAT_TAIL_TAKEN that there is a result. */
SYM_CODE_START(moat_extension)
	UNWIND_HINT_EMPTY
	cmpq	$0, MOAT_SITE_traced(%r11)
	jne	.Ltrace
	MOAT_CALL_OUT moat_ext_go
	/* It returns an int: moat_check_args(). */
	movl	%edx, %eax
	btsq	$MOAT_TAIL_TAKEN, %rax
	RET
.Ltrace:
	MOAT_CALL_OUT moat_trace_go
	RET
SYM_CODE_END(moat_extension)

/* Where one is done that others trace: its result is in R13, for moat_traced_result(). */
SYM_CODE_START(moat_traced)
	MOAT_CALL_OUT moat_traced_go
	RET
SYM_CODE_END(moat_traced)
