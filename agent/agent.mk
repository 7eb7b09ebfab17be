# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Build rules of all userspace. The top Makefile includes this file; it also
# works alone, from the top of the tree: make -f agent/agent.mk [agent|unit|clean]
#
# Nothing is listed by name: every .c file of a library folder goes into one
# static archive, every program links that archive, every tests/unit/test_*.c
# is a test linked with a second archive built with sanitizers.

AGENT_BUILD	?= build
AGENT_VERSION	?= 0.1.0

CC		?= cc
AR		?= ar
PKG_CONFIG	?= pkg-config

# V=1 shows the commands.
Q		:= $(if $(V),,@)
say		= $(if $(V),,@echo "  $(1)	$(patsubst $(AGENT_BUILD)/%,%,$@)")

AGENT_LIBDIRS	:= common crypto kmip disk provider host manager cli
AGENT_PROGRAMS	:= $(if $(wildcard agent/host/main.c),vmcryptd) \
		   $(if $(wildcard agent/cli/main.c),vmcryptctl) \
		   $(if $(wildcard agent/manager/main.c),vmcrypt-manager)

AGENT_PKGS	:= libssl libcrypto jansson libsystemd libnl-3.0 libnl-genl-3.0 libcryptsetup \
		   devmapper blkid tss2-esys tss2-tctildr tss2-mu tss2-rc libudev libseccomp \
		   libwebsockets sqlite3
AGENT_PKG_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(AGENT_PKGS))
AGENT_PKG_LIBS	 = $(shell $(PKG_CONFIG) --libs $(AGENT_PKGS))
AGENT_TEST_LIBS	 = $(shell $(PKG_CONFIG) --libs cmocka libcurl)

AGENT_WARN	:= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
		   -Wformat=2 -Wundef $(if $(CI),-Werror)
AGENT_CPPFLAGS	:= -D_GNU_SOURCE -DVMCRYPT_VERSION='"$(AGENT_VERSION)"' -Iagent -Iuapi
AGENT_BASE	:= -std=gnu11 -g -fstack-protector-strong -fPIE $(AGENT_WARN)
AGENT_CFLAGS	?= -O2 -D_FORTIFY_SOURCE=2
AGENT_SAN	:= -O1 -U_FORTIFY_SOURCE -fno-omit-frame-pointer \
		   -fsanitize=address,undefined -fno-sanitize-recover=undefined
AGENT_LDFLAGS	:= -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread

AGENT_LIB_SRC	:= $(filter-out %/main.c,$(foreach d,$(AGENT_LIBDIRS),$(wildcard agent/$(d)/*.c)))
AGENT_TEST_SRC	:= $(wildcard tests/unit/test_*.c)
# Tests that look into their own memory: no sanitizer, whose shadow allocator
# would be what they measure.
AGENT_PLAIN_SRC	:= $(wildcard tests/unit/plain_*.c)
# Tests of whole programs
AGENT_SCRIPTS	:= $(wildcard tests/unit/test_*.py)

AGENT_LIB_OBJ	:= $(AGENT_LIB_SRC:%.c=$(AGENT_BUILD)/%.o)
AGENT_SAN_OBJ	:= $(AGENT_LIB_SRC:%.c=$(AGENT_BUILD)/san/%.o)
AGENT_LIB	:= $(AGENT_BUILD)/libvmcrypt-agent.a
AGENT_SANLIB	:= $(AGENT_BUILD)/san/libvmcrypt-agent.a
AGENT_TESTS	:= $(AGENT_TEST_SRC:tests/unit/%.c=$(AGENT_BUILD)/unit/%) \
		   $(AGENT_PLAIN_SRC:tests/unit/%.c=$(AGENT_BUILD)/unit/%)

.PHONY: agent unit unit-build agent-clean

agent: $(AGENT_LIB) $(AGENT_PROGRAMS:%=$(AGENT_BUILD)/%)

unit-build: $(AGENT_TESTS)

unit: $(AGENT_TESTS) agent
	VMCRYPT_BUILD=$(AGENT_BUILD) sh tests/unit/run $(AGENT_TESTS) $(AGENT_SCRIPTS)

agent-clean:
	rm -rf $(AGENT_BUILD)/agent $(AGENT_BUILD)/san $(AGENT_BUILD)/unit $(AGENT_BUILD)/fuzz $(AGENT_LIB) \
		$(AGENT_BUILD)/vmcryptd $(AGENT_BUILD)/vmcryptctl $(AGENT_BUILD)/vmcrypt-manager

# Alone, "clean" is ours; under the top Makefile it is the top Makefile's.
ifeq ($(firstword $(MAKEFILE_LIST)),agent/agent.mk)
.PHONY: clean
clean: agent-clean
.DEFAULT_GOAL := agent
endif

$(AGENT_BUILD)/agent/%.o: agent/%.c agent/agent.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(AGENT_CPPFLAGS) $(AGENT_BASE) $(AGENT_CFLAGS) $(AGENT_PKG_CFLAGS) -pthread -MMD -MP -c -o $@ $<

$(AGENT_BUILD)/san/agent/%.o: agent/%.c agent/agent.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(AGENT_CPPFLAGS) $(AGENT_BASE) $(AGENT_SAN) $(AGENT_PKG_CFLAGS) -pthread -MMD -MP -c -o $@ $<

# Made anew each time, for an object whose source is gone must not stay inside,
# and by q, for r would take conf.o of one folder for conf.o of another. Moved
# into place, so that nobody links half of it.
$(AGENT_LIB): $(AGENT_LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,AR)
	$(Q)$(AR) qcsD $@.$$$$ $(AGENT_LIB_OBJ) && mv $@.$$$$ $@

$(AGENT_SANLIB): $(AGENT_SAN_OBJ)
	@mkdir -p $(@D)
	$(call say,AR)
	$(Q)$(AR) qcsD $@.$$$$ $(AGENT_SAN_OBJ) && mv $@.$$$$ $@

$(AGENT_BUILD)/vmcryptd: $(AGENT_BUILD)/agent/host/main.o $(AGENT_LIB)
	$(call say,CC)
	$(Q)$(CC) $(AGENT_LDFLAGS) -o $@ $< $(AGENT_LIB) $(AGENT_PKG_LIBS)

$(AGENT_BUILD)/vmcrypt-manager: $(AGENT_BUILD)/agent/manager/main.o $(AGENT_LIB)
	$(call say,CC)
	$(Q)$(CC) $(AGENT_LDFLAGS) -o $@ $< $(AGENT_LIB) $(AGENT_PKG_LIBS)

$(AGENT_BUILD)/vmcryptctl: $(AGENT_BUILD)/agent/cli/main.o $(AGENT_LIB)
	$(call say,CC)
	$(Q)$(CC) $(AGENT_LDFLAGS) -o $@ $< $(AGENT_LIB) $(AGENT_PKG_LIBS)

$(AGENT_BUILD)/unit/test_%: tests/unit/test_%.c $(AGENT_SANLIB) agent/agent.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(AGENT_CPPFLAGS) -Itests/unit $(AGENT_BASE) $(AGENT_SAN) $(AGENT_PKG_CFLAGS) -pthread -MMD -MP \
		$(AGENT_LDFLAGS) -o $@ $< $(AGENT_SANLIB) $(AGENT_PKG_LIBS) $(AGENT_TEST_LIBS)

$(AGENT_BUILD)/unit/plain_%: tests/unit/plain_%.c $(AGENT_LIB) agent/agent.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(AGENT_CPPFLAGS) -Itests/unit $(AGENT_BASE) $(AGENT_CFLAGS) $(AGENT_PKG_CFLAGS) -pthread -MMD -MP \
		$(AGENT_LDFLAGS) -o $@ $< $(AGENT_LIB) $(AGENT_PKG_LIBS) $(AGENT_TEST_LIBS)

# Tests of the agent that need the kernel module; tests/kernel/agent_run runs them.
AGENT_KERNEL_TESTS := $(patsubst tests/kernel/%.c,$(AGENT_BUILD)/agent-kernel/%,$(wildcard tests/kernel/agent_*.c))

.PHONY: agent-kernel-tests
agent-kernel-tests: $(AGENT_KERNEL_TESTS)

$(AGENT_BUILD)/agent-kernel/%: tests/kernel/%.c $(AGENT_SANLIB) agent/agent.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(AGENT_CPPFLAGS) -Itests/unit $(AGENT_BASE) $(AGENT_SAN) $(AGENT_PKG_CFLAGS) -pthread \
		$(AGENT_LDFLAGS) -o $@ $< $(AGENT_SANLIB) $(AGENT_PKG_LIBS) $(AGENT_TEST_LIBS)

# libFuzzer on all parsers of outside data; needs clang. The corpus stays.
AGENT_FUZZ_OBJ	:= $(AGENT_LIB_SRC:%.c=$(AGENT_BUILD)/fuzz/%.o) $(AGENT_BUILD)/fuzz/parsers.o
AGENT_FUZZ	:= -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined \
		   -fno-sanitize-recover=undefined
FUZZ_SECONDS	?= 60

.PHONY: fuzz
fuzz: $(AGENT_BUILD)/fuzz/parsers
	@mkdir -p $(AGENT_BUILD)/fuzz/corpus
	$(AGENT_BUILD)/fuzz/parsers -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=20 \
		-dict=tests/fuzz/words -artifact_prefix=$(AGENT_BUILD)/fuzz/ -print_final_stats=1 \
		$(AGENT_BUILD)/fuzz/corpus tests/data/fuzz

$(AGENT_BUILD)/fuzz/agent/%.o: agent/%.c agent/agent.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)clang $(AGENT_CPPFLAGS) $(AGENT_BASE) $(AGENT_FUZZ) $(AGENT_PKG_CFLAGS) -pthread -MMD -MP -c -o $@ $<

$(AGENT_BUILD)/fuzz/parsers.o: tests/fuzz/parsers.c agent/agent.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)clang $(AGENT_CPPFLAGS) $(AGENT_BASE) $(AGENT_FUZZ) $(AGENT_PKG_CFLAGS) -pthread -MMD -MP -c -o $@ $<

$(AGENT_BUILD)/fuzz/parsers: $(AGENT_FUZZ_OBJ)
	$(call say,LD)
	$(Q)clang $(AGENT_FUZZ) $(AGENT_LDFLAGS) -o $@ $^ $(AGENT_PKG_LIBS)

# The same for headers as a whole, libcryptsetup and its repair of them included.
.PHONY: fuzz-header
fuzz-header: $(AGENT_BUILD)/fuzz/header
	@mkdir -p $(AGENT_BUILD)/fuzz/corpus-header
	$(AGENT_BUILD)/fuzz/header -max_total_time=$(FUZZ_SECONDS) -max_len=40000 -timeout=20 \
		-artifact_prefix=$(AGENT_BUILD)/fuzz/ -print_final_stats=1 \
		$(AGENT_BUILD)/fuzz/corpus-header tests/data/fuzz-header

$(AGENT_BUILD)/fuzz/header: tests/fuzz/header.c $(AGENT_LIB_SRC:%.c=$(AGENT_BUILD)/fuzz/%.o)
	$(call say,CC)
	$(Q)clang $(AGENT_CPPFLAGS) $(AGENT_BASE) $(AGENT_FUZZ) $(AGENT_PKG_CFLAGS) -pthread \
		$(AGENT_LDFLAGS) -o $@ $^ $(AGENT_PKG_LIBS)

-include $(AGENT_LIB_OBJ:.o=.d) $(AGENT_SAN_OBJ:.o=.d) \
	$(wildcard $(AGENT_BUILD)/agent/*/main.d $(AGENT_BUILD)/fuzz/*.d $(AGENT_BUILD)/fuzz/agent/*/*.d) \
	$(AGENT_TESTS:=.d)
