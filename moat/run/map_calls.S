/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Operations of a map that a site calls straight away: for the map it knows, with
 * addresses in the program's own slots. Every other call is audited.
 */
#include "gates.h"

/* R9, R10: what the program had in RCX and RDX; R11: struct moat_site *. As moat_audit_nested. */
.section .noinstr.text, "ax"

/*
 * RAX: the map's struct moat_map_call; for this map, and with its key in RSI, or what else
 * \last is for?
 */
.macro MOAT_KNOWN last=MOAT_MAP_last_key
	UNWIND_HINT_EMPTY
	movq	MOAT_SITE_map(%r11), %rax
	cmpq	MOAT_MAP_map(%rax), %rdi
	jne	moat_audit_nested
	movq	%rsi, %rdx
	subq	MOAT_MAP_area(%rax), %rdx
	cmpq	\last(%rax), %rdx
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

/* moat_next_elems(): RSI is where the program wants them, R10 the cursor. */
SYM_CODE_START(moat_map_next_elems)
	MOAT_KNOWN MOAT_MAP_last_elems
	movq	MOAT_MAP_to_window(%rax), %rcx
	movq	MOAT_MAP_cpu_size(%rax), %rdx
	testq	%rdx, %rdx
	jz	.Lelems
	/* As moat_map_lookup_percpu */
	movl	PER_CPU_VAR(cpu_number), %eax
	imulq	%rax, %rdx
	addq	%rdx, %rcx
	subq	PER_CPU_VAR(this_cpu_off), %rcx
.Lelems:
	movq	%r10, %rdx
	movq	MOAT_RUN_slot + 8(%rsp), %r8
	movq	MOAT_SLOT_changes(%r8), %r8
	pushq	%r11
	call	moat_next_elems
	popq	%rsi				/* struct moat_site * */
	testq	%rdx, %rdx
	jz	.Llast_elems
	/* To go through a large map may take long. As moat_audit_nested. */
	leaq	8(%rsp), %rdi
	MOAT_ROOT %rdi
	movq	$0, MOAT_RUN_stop(%rdi)
	pushq	%rdi
	pushq	%rax
	call	moat_took_long
	popq	%rax
	popq	%rcx
	cmpq	$0, MOAT_RUN_stop(%rcx)
	jne	moat_stop
.Llast_elems:
	RET
SYM_CODE_END(moat_map_next_elems)

/*
 * Calls the operation in RAX. With \told the program walks over maps, and is told: with \key
 * that no more than what has the key in RSI is changed.
 */
.macro MOAT_CHANGE told=0 key=0
.if \key
	pushq	%rsi
.else
	pushq	%r11				/* for the alignment of the stack */
.endif
	CALL_NOSPEC rax
	popq	%rdx
.if \told
	movq	MOAT_RUN_slot + 8(%rsp), %rcx
	movq	MOAT_SLOT_changes(%rcx), %rcx
	incq	MOAT_CHANGES_count(%rcx)
.if \key
	movq	%rdx, MOAT_CHANGES_key(%rcx)
.else
	movq	$0, MOAT_CHANGES_key(%rcx)
.endif
.endif
	movl	%eax, %eax			/* an int */
	RET
.endm

.macro MOAT_UPDATE told=0 key=0
	MOAT_KNOWN
	movq	%r10, %rdx
	subq	MOAT_MAP_area(%rax), %rdx
	cmpq	MOAT_MAP_last_value(%rax), %rdx
	ja	moat_audit_nested
	movq	MOAT_MAP_update(%rax), %rax
	movq	%r10, %rdx
	movq	%r9, %rcx
	MOAT_CHANGE \told, \key
.endm

.macro MOAT_DELETE told=0
	MOAT_KNOWN
	movq	MOAT_MAP_delete(%rax), %rax
	MOAT_CHANGE \told, \told
.endm

SYM_CODE_START(moat_map_update)
	MOAT_UPDATE
SYM_CODE_END(moat_map_update)

SYM_CODE_START(moat_map_update_told)
	MOAT_UPDATE told=1 key=1
SYM_CODE_END(moat_map_update_told)

/* It may take another element's place. */
SYM_CODE_START(moat_map_update_lru_told)
	MOAT_UPDATE told=1
SYM_CODE_END(moat_map_update_lru_told)

SYM_CODE_START(moat_map_delete)
	MOAT_DELETE
SYM_CODE_END(moat_map_delete)

SYM_CODE_START(moat_map_delete_told)
	MOAT_DELETE told=1
SYM_CODE_END(moat_map_delete_told)
