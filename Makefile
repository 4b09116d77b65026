# SPDX-License-Identifier: GPL-2.0
#
# Everything is built outside the checkout, in MOAT_CACHE (default
# ~/.cache/moat): kernel sources, kernels, moat.ko, test programs, logs.

SCRIPTS := $(CURDIR)/scripts
OUT     := $(shell sh -c '. scripts/common.sh; echo "$$out"' $(SCRIPTS)/common.sh)
ifeq ($(OUT),)
$(error cannot find out where the cache is; is HOME set?)
endif

KERNEL  ?= $(if $(filter-out 0,$(TESTKERNEL)),test,product)
# As it was written: $ is the guest's shell's, not make's.
override CMD := $(value CMD)
export CMD EMULATOR LEVEL CPUS CPU MEM ICOUNT NMI TIMEOUT QEMU_OPTS BOOT KERNEL_SRC MOAT_CACHE JOBS
export HERE_CONFIG UPDATE PKRS_CYCLES CR3_CYCLES

help:
	@echo 'make run                  build all, boot a guest, show programs at work and one stopped'
	@echo 'make shell                the same guest, to a prompt'
	@echo "make guest CMD='...'      run one command in it; returns its exit status"
	@echo 'make test [ONLY=name]     everything that must pass, or what has this in its name'
	@echo 'make test-preempt [ONLY=] much of it on a kernel with PREEMPT, lockdep and PROVE_RCU'
	@echo 'make test-full            all of that, and the long ones: more numbers of keys, a kernel without'
	@echo '                          patches, suites of the kernel'"'"'s own'
	@echo 'make test-mutants [ONLY=] takes protections away, one by one: does a test notice?'
	@echo 'make test-bochs           some of it on another emulator, with PKS and PCIDs'
	@echo 'make test-here            some of it on this machine, if it has PKS; with kernel-here,'
	@echo '                          install-here and remove-here: see README.md'
	@echo 'make bench [MANY=1024]    what a run, a packet, a system call costs, isolated or not, and on a'
	@echo '                          kernel without patches, which it builds; what many programs cost'
	@echo 'make kernel               only build: kernel and moat.ko'
	@echo 'make clean                remove what was built; keeps the unpacked kernel source'
	@echo 'make distclean            remove all of the cache'
	@echo
	@echo 'LEVEL=none|0|1|2          MOAT in the guest: not loaded, or this level for all types'
	@echo 'CPUS=n  TIMEOUT=seconds   guest size (4) and patience (600); with ICOUNT one CPU runs'
	@echo 'MEM=size                  memory of the guest (2G)'
	@echo 'TESTKERNEL=1              the kernel with patches/test/: a way past the verifier'
	@echo 'KERNEL=preempt            that, with PREEMPT, lockdep and PROVE_RCU'
	@echo 'KERNEL=unpatched          the product kernel without patches, for comparison'
	@echo 'EMULATOR=bochs            another CPU than QEMU has, with PKS and PCIDs; slower'
	@echo 'ICOUNT=1                  one CPU, one instruction is one nanosecond'
	@echo 'NMI=n                     inject n NMIs once the command prints MOAT-NMI-START'
	@echo 'CPU=model  QEMU_OPTS=...  CPU model (max,+pks), more QEMU options'
	@echo 'BOOT=...                  more of the kernel command line'
	@echo 'KERNEL_SRC=DIR            build on this 6.1.y tree (it is not modified)'
	@echo 'JOBS=n                    parallel compilers (all CPUs)'
	@echo 'UPDATE=1                  make bench writes docs/cost.md and docs/cost.svg anew,'
	@echo '                          make test ONLY=bugs the table of docs/security.md'
	@echo 'PKRS_CYCLES=n CR3_CYCLES=n  what its model takes a write of these registers for'
	@echo 'MOAT_CACHE=DIR            where everything is built (~/.cache/moat)'

packages:
	@$(SCRIPTS)/packages
	@[ "$(EMULATOR)" != bochs ] || $(SCRIPTS)/packages bochs

check: packages
	@$(SCRIPTS)/in-guest --check
	@$(SCRIPTS)/toolchain >/dev/null
	@[ "$(EMULATOR)" = bochs ] || $(SCRIPTS)/cpu-has-pks

kernel: check
	@$(SCRIPTS)/kernel $(KERNEL)
ifneq ($(filter kernel,$(MAKECMDGOALS)),)
	@echo "moat: $(OUT)/kernel/$(KERNEL)/bzImage"
	@[ $(KERNEL) = unpatched ] || echo "moat: $(OUT)/kernel/$(KERNEL)/moat.ko"
endif

# The test kernel starts from the product kernel.
kernels: check
	@$(SCRIPTS)/kernel product
	@$(SCRIPTS)/kernel test

$(OUT)/initramfs.gz: scripts/guest-init scripts/initramfs | packages
	@$(SCRIPTS)/initramfs $@

programs: packages
	@$(foreach d,demo bench kselftest,$(MAKE) -s -C tests/$d OUTPUT=$(OUT)/$d all &&) :

run: KERNEL := test
run: kernel programs $(OUT)/initramfs.gz
	@LOG=demo CMD=tests/demo/run TIMEOUT=$${TIMEOUT:-300} LEVEL=2 $(SCRIPTS)/in-guest $(KERNEL)

shell: kernel programs $(OUT)/initramfs.gz
	@LOG=shell LEVEL=$${LEVEL:-2} $(SCRIPTS)/in-guest $(KERNEL) --shell

has-command:
	@[ -n "$$CMD" ] || { echo "moat: make guest needs CMD='...'" >&2; exit 2; }

# make turns every failure into 2; it shows the command's own status as `Error N`.
guest: has-command kernel programs $(OUT)/initramfs.gz
	@$(SCRIPTS)/in-guest $(KERNEL)

test: kernels programs $(OUT)/initramfs.gz
	@$(SCRIPTS)/upstream-tests product
	@tests/run $(ONLY)
	@echo 'moat: make test-bochs runs some of it on another CPU with PKS, in half an hour;'
	@echo '      make test-preempt with lockdep'

test-full: kernels programs $(OUT)/initramfs.gz
	@$(SCRIPTS)/kernel preempt
	@$(SCRIPTS)/kernel unpatched
	@$(SCRIPTS)/upstream-tests product full
	@tests/run --full $(ONLY)

test-preempt: KERNEL := preempt
test-preempt: kernel programs $(OUT)/initramfs.gz
	@tests/run --preempt $(ONLY)

test-mutants: KERNEL := test
test-mutants: kernel programs $(OUT)/initramfs.gz
	@tests/mutants $(ONLY)

test-bochs: KERNEL := test
test-bochs: EMULATOR := bochs
test-bochs: kernel programs $(OUT)/initramfs.gz
	@tests/bochs $(ONLY)

kernel-here: packages
	@$(SCRIPTS)/kernel here
	@echo "moat: 'make install-here' installs it beside the kernels that are there"

install-here:
	@$(SCRIPTS)/install-here

remove-here:
	@$(SCRIPTS)/remove-here

test-here:
	@tests/here --check
	@$(MAKE) -s programs
	@tests/here $(ONLY)

bench: KERNEL := product
bench: kernel programs $(OUT)/initramfs.gz
	@$(SCRIPTS)/kernel unpatched
	@tests/bench/run; status=$$?; \
	LOG=many CMD="\$$MOAT_OUT/bench/many $(MANY)" LEVEL=2 CPUS=4 ICOUNT=1 TIMEOUT=1200 \
		$(SCRIPTS)/in-guest $(KERNEL) && exit $$status

clean:
	@$(SCRIPTS)/clean

distclean:
	@$(SCRIPTS)/clean all

.PHONY: help packages check kernel kernels programs run shell has-command guest test test-preempt test-full \
	test-mutants test-bochs test-here kernel-here install-here remove-here bench clean distclean
