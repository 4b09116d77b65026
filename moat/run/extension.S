/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program in the place of a function: what the site behind the function calls. What it
 * keeps to is in gates.h.
 *
 * It is a run inside of the run, as what a function goes to by a tail call (tail_call.S). The
 * context is the run's own, whatever the program says, where the function has it; the other
 * arguments are numbers, and only a program that is entered as a function takes them for
 * anything.
 */
#include "gates.h"

/* struct moat_run, from where a site calls */
#define RUN		8
.section .noinstr.text, "ax"

/*
 *		on entry		in the other program
 * PKRS		open			open
 * RSP		struct moat_run - 8	below a return address
 * RDI, RSI, R8	untrusted		the same, or the context
 * R10, R9	untrusted		RDX, RCX: the same, or the context
 * R11		struct moat_site *
 * IF		as before enter		as before enter
 */
SYM_CODE_START(moat_extension)
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
	call	moat_ext_go
	movq	%rax, %r11
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%r8
	testq	%r11, %r11
	jz	moat_stop
	CALL_NOSPEC r11
	popq	%rsi
	popq	%rdi
	pushq	%rax
	call	moat_ext_back
	popq	%rdx
	testq	%rax, %rax
	jnz	moat_stop
	/* It returns an int: moat_check_args(). */
	movl	%edx, %eax
	RET
SYM_CODE_END(moat_extension)
