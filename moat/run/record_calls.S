/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A record of a ring buffer, reserved by its site straight away while the run holds nothing
 * else, and given back in the same way if it still does not. It is not listed (grants.rs): the
 * kernel's address and the length are in struct moat_run, and the program has it where the
 * first entry of the table has its place. Whoever asks for the table has it listed, and then
 * this does no more.
 *
 * Every other call is audited (records.rs), and so is all that is not as expected here, with
 * the registers as they were. Sites come here only if the program's table has an entry, if the
 * room of each is 4 KiB at most, and if there are no callbacks: RSP is where the run is.
 */
#include "gates.h"

/*
 * R10: what the program had in RDX, if that is an argument; R11: struct moat_site *. As
 * moat_audit, but that R9, and R10, too, of what takes two arguments, are anything.
 *
 * R12 is a register as any while RSP and the IST vectors are the kernel's, as they are here;
 * helpers preserve it, and sites set it before they point the vectors elsewhere.
 */
.section .noinstr.text, "ax"

/* struct moat_run, from where a site calls */
#define RUN(field)	(8 + MOAT_RUN_##field)
/* The kernel's address of the record: see struct moat_run */
#define RECORD		RUN(r0)

/* \reg: where the program has the record, which follows from kernel memory alone */
.macro MOAT_PLACE reg:req
	movq	RUN(slot)(%rsp), \reg
	movq	MOAT_SLOT_grants(\reg), \reg
.endm
#define PLACE		(MOAT_GRANTS_grant + MOAT_GRANT_place)

/*
 * bpf_ringbuf_reserve(): RDI is the map, RSI the size, R10 the flags. Of the record the program
 * gets what is in there, up to the next 8 bytes: the ring and the slot have as much for each.
 */
SYM_CODE_START(moat_record_reserve)
	UNWIND_HINT_EMPTY
	movq	MOAT_SITE_map(%r11), %rax
	cmpq	MOAT_MAP_map(%rax), %rdi
	jne	moat_audit
	cmpq	MOAT_MAP_last_value(%rax), %rsi
	ja	moat_audit
	cmpl	$0, RUN(holds)(%rsp)
	jne	moat_audit
	movq	%r10, %rdx
	leal	8 + 7(%rsi), %r12d
	shrl	$3, %r12d			/* 1 + words */
	call	bpf_ringbuf_reserve
	testq	%rax, %rax
	jz	.Lno_record
	movl	%r12d, RUN(holds)(%rsp)
	orl	$MOAT_RUN_STORE, RUN(flags)(%rsp)
	movq	%rax, RECORD(%rsp)
	movq	%rax, %rsi
	MOAT_PLACE %rdi
	movq	PLACE(%rdi), %rdi
	movq	%rdi, %rax
	leal	-1(%r12), %ecx
	rep movsq
.Lno_record:
	RET
SYM_CODE_END(moat_record_reserve)

/*
 * RDI is the program's name for it, RSI the flags. With \stores the way out of the run looks
 * in any case, else only while something is held.
 */
.macro MOAT_COMMIT call:req stores=0
	UNWIND_HINT_EMPTY
	MOAT_PLACE %rdx
	cmpq	PLACE(%rdx), %rdi
	jne	moat_audit
	movl	RUN(holds)(%rsp), %ecx
	decl	%ecx				/* words */
	js	moat_audit
	movq	%rsi, %rdx
	movq	%rdi, %rsi
	movq	RECORD(%rsp), %rdi
	movl	$0, RUN(holds)(%rsp)
.if !\stores
	andl	$~MOAT_RUN_STORE, RUN(flags)(%rsp)
.endif
	rep movsq
	movq	RECORD(%rsp), %rdi
	movq	%rdx, %rsi
	jmp	\call				/* which returns zero */
.endm

SYM_CODE_START(moat_record_submit)
	MOAT_COMMIT bpf_ringbuf_submit
SYM_CODE_END(moat_record_submit)

SYM_CODE_START(moat_record_discard)
	MOAT_COMMIT bpf_ringbuf_discard
SYM_CODE_END(moat_record_discard)

/* The same of programs with MOAT_DOM_STORE */
SYM_CODE_START(moat_record_submit_stores)
	MOAT_COMMIT bpf_ringbuf_submit stores=1
SYM_CODE_END(moat_record_submit_stores)

SYM_CODE_START(moat_record_discard_stores)
	MOAT_COMMIT bpf_ringbuf_discard stores=1
SYM_CODE_END(moat_record_discard_stores)
