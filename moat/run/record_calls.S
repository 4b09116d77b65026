/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A record of a ring buffer, reserved by its site straight away while the run holds nothing
 * else, and given back in the same way if it is the first entry of the table. Every other call
 * is audited (records.rs), and so is all that is not as expected here, with the registers as
 * they were. Sites come here only if the program's table has an entry, and the room of each is
 * 4 KiB at most.
 */
#include "gates.h"

/* R9, R10: what the program had in RCX and RDX; R11: struct moat_site *. As moat_audit. */
.section .noinstr.text, "ax"

/* Kind::Record of helpers/grants.rs */
#define RECORD 1

/* The fields of the first entry of a table */
#define FIRST(field) (MOAT_GRANTS_grant + MOAT_GRANT_##field)

/* RCX: the table of the run's slot */
.macro MOAT_TABLE
	movq	MOAT_RUN_slot + 8(%rsp), %rcx
	movq	MOAT_SLOT_grants(%rcx), %rcx
.endm

/*
 * ECX bytes from RSI to RDI, and what there is up to the next 8: the ring and the slot have
 * as much for each record.
 */
.macro MOAT_COPY
	addl	$7, %ecx
	shrl	$3, %ecx
	rep movsq
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
	cmpq	$0, MOAT_GRANTS_held(%rcx)
	jne	moat_audit
	movl	%esi, FIRST(size)(%rcx)
	pushq	%rcx
	movq	%r10, %rdx
	call	bpf_ringbuf_reserve
	popq	%rcx
	testq	%rax, %rax
	jz	.Lno_record
	movq	%rax, FIRST(object)(%rcx)
	movq	%rax, %rsi
	movq	FIRST(place)(%rcx), %rdi
	movq	%rdi, %rax
	movq	%rdi, FIRST(name)(%rcx)
	movl	$RECORD, FIRST(kind)(%rcx)
	movq	$1, MOAT_GRANTS_held(%rcx)
	orl	$MOAT_RUN_STORE, MOAT_RUN_flags + 8(%rsp)
	movl	FIRST(size)(%rcx), %ecx
	MOAT_COPY
	RET

.Lno_record:
	/* A free entry has no size: of other kinds it counts references. */
	movl	%eax, FIRST(size)(%rcx)
	RET
SYM_CODE_END(moat_record_reserve)

/* RDI is the program's name for it, RSI the flags. */
.macro MOAT_COMMIT call:req
	UNWIND_HINT_EMPTY
	MOAT_TABLE
	/* A free entry may still have a name, but no kind. */
	cmpq	FIRST(name)(%rcx), %rdi
	jne	moat_audit
	cmpl	$RECORD, FIRST(kind)(%rcx)
	jne	moat_audit
	movq	%rsi, %rdx
	movq	%rdi, %rsi
	movq	FIRST(object)(%rcx), %rdi
	movq	%rdi, %r8
	movl	FIRST(size)(%rcx), %eax
	movq	$0, FIRST(object)(%rcx)
	movq	$0, FIRST(size)(%rcx)		/* and the kind */
	decq	MOAT_GRANTS_held(%rcx)
	jnz	.Lholds_\@
	/* Nothing is held: no need to look on the way out. */
	movq	MOAT_RUN_domain + 8(%rsp), %rcx
	testl	$MOAT_DOM_STORE, MOAT_DOM_flags(%rcx)
	jnz	.Lholds_\@
	andl	$~MOAT_RUN_STORE, MOAT_RUN_flags + 8(%rsp)
.Lholds_\@:
	movl	%eax, %ecx
	MOAT_COPY
	movq	%r8, %rdi
	movq	%rdx, %rsi
	jmp	\call				/* which returns zero */
.endm

SYM_CODE_START(moat_record_submit)
	MOAT_COMMIT bpf_ringbuf_submit
SYM_CODE_END(moat_record_submit)

SYM_CODE_START(moat_record_discard)
	MOAT_COMMIT bpf_ringbuf_discard
SYM_CODE_END(moat_record_discard)
