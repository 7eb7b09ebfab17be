# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make            userspace, and the module for KDIR
# make modules    the module for the kernels in the cache
# make unit       unit tests
# make check      style, sparse, analyzers, interface description
# make kernel-tests, make system-test, make cluster-test
# make test       all of these
# make bench      instructions per I/O beside dm-crypt, fails where a target is missed
# make bench-real the same in real time: throughput and latency, takes long
# make fuzz-kernel  broken netlink messages and table lines, in virtual machines: takes long
# make fuzz-night   the same on the debug kernels, 25 times as many, and hours of libFuzzer
# make torture    verified load under trouble, failing allocations, power cuts, in virtual machines
# make torture-night  the same on all kernels, five to ten times as much
# make coverage   which lines of agent/ and kernel/ the tests run, as tables and HTML
# make demo       an encrypted guest disk from end to end, in virtual machines
# make demo-cluster  a key server, the manager and two hosts, in virtual machines
# make install    programs, units, manual pages, DKMS source (DESTDIR, PREFIX)

VERSION := 0.1.0
BUILD := build
KDIR ?= /lib/modules/$(shell uname -r)/build
KERNELS := 6.1 6.12

AGENT_BUILD ?= $(BUILD)
AGENT_VERSION := $(VERSION)

.DELETE_ON_ERROR:
.PHONY: all agent unit modules module setup check kernel-tests system-test cluster-test \
	test demo demo-cluster bench bench-real fuzz-kernel fuzz-night torture torture-night \
	coverage install clean print-cflags

all: agent module

-include agent/agent.mk
include scripts/install.mk

setup:
	scripts/setup.sh
	scripts/kernels.sh

module:
	@if [ -e $(KDIR)/Makefile ]; then scripts/build-module $(KDIR); \
	else echo "no kernel headers at $(KDIR): building for the cached kernels $(KERNELS)"; \
		$(MAKE) modules; fi

modules: $(KERNELS:%=module-%)

module-%:
	scripts/build-module $*

check:
	@scripts/check

# For tools that read the sources as the compiler does
print-cflags:
	@echo $(AGENT_CPPFLAGS) -std=gnu11 $(AGENT_PKG_CFLAGS)

kernel-tests:
	@scripts/kernel-tests

system-test: agent
	@scripts/system-test

cluster-test: agent
	@scripts/cluster-test

bench:
	@scripts/bench

bench-real:
	@scripts/bench-real

fuzz-kernel:
	@scripts/fuzz-kernel

# Four hours for both libFuzzer programs, unless FUZZ_SECONDS says otherwise
fuzz-night:
	@$(MAKE) fuzz fuzz-header FUZZ_SECONDS=$(if $(filter command environment,$(origin FUZZ_SECONDS)),$(FUZZ_SECONDS),7200)
	@scripts/fuzz-kernel --night debug-6.1 debug-6.12

torture:
	@scripts/torture

torture-night:
	@scripts/torture --night 6.1 6.12 debug-6.1 debug-6.12

coverage:
	@scripts/coverage; agent=$$?; scripts/coverage-kernel && exit $$agent

demo:
	scripts/setup.sh
	$(MAKE) agent
	@scripts/system-test --demo

demo-cluster:
	scripts/setup.sh
	$(MAKE) agent
	@scripts/cluster-test --demo

test:
	@scripts/test

clean:
	rm -rf $(BUILD)
