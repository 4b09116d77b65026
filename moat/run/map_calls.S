/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Operations of a map that a site calls straight away: for the map it knows, with
 * addresses in the program's own slots. Every other call is audited.
 */
#include "gates.h"

/* R9, R10: what the program had in RCX and RDX; R11: struct moat_site *. As moat_audit_nested. */
.section .noinstr.text, "ax"

/* RAX: the map's struct moat_map_call; for this map, and with its key in RSI? */
.macro MOAT_KNOWN
	UNWIND_HINT_EMPTY
	movq	MOAT_SITE_map(%r11), %rax
	cmpq	MOAT_MAP_map(%rax), %rdi
	jne	moat_audit_nested
	movq	%rsi, %rdx
	subq	MOAT_MAP_area(%rax), %rdx
	cmpq	MOAT_MAP_last_key(%rax), %rdx
	ja	moat_audit_nested
.endm

/* RAX: where the kernel has the value, or 0; RCX: struct moat_map_call * */
.macro MOAT_LOOKUP
	MOAT_KNOWN
	pushq	%rax
	movq	MOAT_MAP_lookup(%rax), %rax
	CALL_NOSPEC rax
	popq	%rcx
	testq	%rax, %rax
.endm

SYM_CODE_START(moat_map_lookup)
	MOAT_LOOKUP
	jz	.Lnone
	addq	MOAT_MAP_to_window(%rcx), %rax
.Lnone:
	RET
SYM_CODE_END(moat_map_lookup)

/* The value is this CPU's, which it stays: preemption is off in a run. */
SYM_CODE_START(moat_map_lookup_percpu)
	MOAT_LOOKUP
	jz	.Lnone_here
	addq	MOAT_MAP_to_window(%rcx), %rax
	subq	PER_CPU_VAR(this_cpu_off), %rax
	movl	PER_CPU_VAR(cpu_number), %edx
	imulq	MOAT_MAP_cpu_size(%rcx), %rdx
	addq	%rdx, %rax
.Lnone_here:
	RET
SYM_CODE_END(moat_map_lookup_percpu)

/* What was found, RAX, is a map: has the program it, too? */
.macro MOAT_NAME
	leaq	8(%rsp), %rdi			/* struct moat_run * */
	movq	%rax, %rsi
	jmp	moat_name_of_map
.endm

SYM_CODE_START(moat_map_lookup_outer)
	MOAT_LOOKUP
	jz	.Lno_map
	MOAT_NAME
.Lno_map:
	RET
SYM_CODE_END(moat_map_lookup_outer)

/* An array may read its index twice: that is where the program cannot write. */
SYM_CODE_START(moat_map_lookup_outer_array)
	MOAT_KNOWN
	movl	(%rsi), %edx
	pushq	%rdx
	movq	%rsp, %rsi
	movq	MOAT_MAP_lookup(%rax), %rax
	CALL_NOSPEC rax
	popq	%rdx
	MOAT_NAME
SYM_CODE_END(moat_map_lookup_outer_array)

SYM_CODE_START(moat_map_update)
	MOAT_KNOWN
	movq	%r10, %rdx
	subq	MOAT_MAP_area(%rax), %rdx
	cmpq	MOAT_MAP_last_value(%rax), %rdx
	ja	moat_audit_nested
	movq	MOAT_MAP_update(%rax), %rax
	movq	%r10, %rdx
	movq	%r9, %rcx
	pushq	%r11				/* for the alignment of the stack */
	CALL_NOSPEC rax
	popq	%r11
	movl	%eax, %eax			/* an int */
	RET
SYM_CODE_END(moat_map_update)

SYM_CODE_START(moat_map_delete)
	MOAT_KNOWN
	movq	MOAT_MAP_delete(%rax), %rax
	pushq	%r11
	CALL_NOSPEC rax
	popq	%r11
	movl	%eax, %eax
	RET
SYM_CODE_END(moat_map_delete)
