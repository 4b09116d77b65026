/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A record of a ring buffer, while the run holds nothing else: reserved and given back by
 * sites straight away. Every other call is audited (records.rs), and so is all that is not
 * as expected here, with the registers as they were. Sites come here only if the program's
 * table has an entry, and the room of each is 4 KiB at most.
 */
#include "gates.h"

/* R9, R10: what the program had in RCX and RDX; R11: struct moat_site *. As moat_audit. */
.section .noinstr.text, "ax"

/* Kind::Record of helpers/grants.rs */
#define RECORD 1

/* The fields of the first entry of a table */
#define FIRST(field) (MOAT_GRANTS_grant + MOAT_GRANT_##field)

/* RAX: the table of the run's slot */
.macro MOAT_TABLE
	movq	MOAT_RUN_slot + 8(%rsp), %rax
	movq	MOAT_SLOT_grants(%rax), %rax
.endm

/* ECX bytes from RSI to RDI. Clobbers R10. */
.macro MOAT_COPY
	movl	%ecx, %r10d
	shrl	$3, %ecx
	rep movsq
	andl	$7, %r10d
	jz	.Lcopied_\@
	movl	%r10d, %ecx
	rep movsb
.Lcopied_\@:
.endm

/* bpf_ringbuf_reserve(): RDI is the map, RSI the size, R10 the flags. */
SYM_CODE_START(moat_record_reserve)
	UNWIND_HINT_EMPTY
	movq	MOAT_SITE_map(%r11), %rax
	cmpq	MOAT_MAP_map(%rax), %rdi
	jne	moat_audit
	cmpq	MOAT_MAP_last_value(%rax), %rsi
	ja	moat_audit
	MOAT_TABLE
	cmpq	$0, MOAT_GRANTS_held(%rax)
	jne	moat_audit
	pushq	%rax
	pushq	%rsi
	movq	MOAT_SITE_func(%r11), %rax
	movq	%r10, %rdx
	pushq	%rax				/* for the alignment of the stack */
	CALL_NOSPEC rax
	popq	%rdx
	popq	%rcx
	popq	%rdx
	testq	%rax, %rax
	jz	.Lno_record
	movq	FIRST(place)(%rdx), %rdi
	movq	%rax, FIRST(object)(%rdx)
	movq	%rdi, FIRST(name)(%rdx)
	movl	%ecx, FIRST(size)(%rdx)
	movl	$RECORD, FIRST(kind)(%rdx)
	movq	$1, MOAT_GRANTS_held(%rdx)
	orl	$MOAT_RUN_STORE, MOAT_RUN_flags + 8(%rsp)
	movq	%rax, %rsi
	movq	%rdi, %rax
	MOAT_COPY
.Lno_record:
	RET
SYM_CODE_END(moat_record_reserve)

/* bpf_ringbuf_submit() and discard: RDI is the program's name for it, RSI the flags. */
SYM_CODE_START(moat_record_commit)
	UNWIND_HINT_EMPTY
	MOAT_TABLE
	/* The only one that is held, and no free one: that has no kind. */
	cmpq	$1, MOAT_GRANTS_held(%rax)
	jne	moat_audit
	cmpl	$RECORD, FIRST(kind)(%rax)
	jne	moat_audit
	cmpq	FIRST(name)(%rax), %rdi
	jne	moat_audit
	movq	%rsi, %rdx
	movq	%rdi, %rsi
	movq	FIRST(object)(%rax), %rdi
	movl	FIRST(size)(%rax), %ecx
	movq	%rdi, %r8
	movq	$0, FIRST(name)(%rax)
	movq	$0, FIRST(object)(%rax)
	movq	$0, FIRST(size)(%rax)		/* and the kind */
	movq	$0, MOAT_GRANTS_held(%rax)
	MOAT_COPY
	movq	%r8, %rdi
	movq	%rdx, %rsi
	movq	MOAT_SITE_func(%r11), %rax
	pushq	%rax				/* for the alignment of the stack */
	CALL_NOSPEC rax
	popq	%rcx
	/* Nothing is held: no need to look on the way out. */
	movq	MOAT_RUN_domain + 8(%rsp), %rcx
	testl	$MOAT_DOM_STORE, MOAT_DOM_flags(%rcx)
	jnz	.Lgiven
	andl	$~MOAT_RUN_STORE, MOAT_RUN_flags + 8(%rsp)
.Lgiven:
	xorl	%eax, %eax
	RET
SYM_CODE_END(moat_record_commit)
