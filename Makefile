# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make            userspace and the module for KDIR
# make test       all tests; make check, make unit are parts of it
# make demo       an encrypted guest disk from end to end, in virtual machines
# make install    programs, units, manual pages, DKMS source (DESTDIR, PREFIX)

BUILD := build
KDIR ?= /lib/modules/$(shell uname -r)/build
VERSIONS := 6.1 6.12

.DELETE_ON_ERROR:
.PHONY: all agent unit modules module setup check kernel-tests print-cflags clean

all: agent module

-include agent/agent.mk

setup:
	scripts/setup.sh
	scripts/kernels.sh

module:
	@if [ -e $(KDIR)/Makefile ]; then scripts/build-module $(KDIR); \
	else echo "no kernel headers at $(KDIR): building for the cached kernels $(VERSIONS)"; \
		$(MAKE) modules; fi

modules: $(VERSIONS:%=module-%)

module-%:
	scripts/build-module $*

check:
	scripts/check

# For tools that read the sources as the compiler does
print-cflags:
	@echo $(AGENT_CPPFLAGS) -std=gnu11 $(AGENT_PKG_CFLAGS)

kernel-tests:
	scripts/kernel-tests

clean:
	rm -rf $(BUILD)
