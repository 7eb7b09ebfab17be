# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make install: where things go on a Debian host. Included by the top Makefile.
# What the agent's folders hold is found, not listed.

PREFIX ?= /usr
SYSCONFDIR ?= /etc
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= /lib/systemd/system
UDEVDIR ?= /lib/udev/rules.d
INSTALL ?= install

INSTALL_UNITS := $(wildcard agent/*/*.service agent/*/*.socket agent/*/*.target)
INSTALL_RULES := $(wildcard agent/*/*.rules)
INSTALL_PAGES := $(wildcard agent/man/*.[1-9])
DKMS_TREE = $(DESTDIR)$(PREFIX)/src/vmcrypt-$(VERSION)

.PHONY: install-agent install-dkms

install: install-agent install-dkms

install-agent: agent
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(UDEVDIR)
	$(INSTALL) -m 755 $(AGENT_PROGRAMS:%=$(AGENT_BUILD)/%) $(DESTDIR)$(SBINDIR)/
	for unit in $(INSTALL_UNITS); do \
		sed 's|/usr/sbin/|$(SBINDIR)/|' $$unit >$(DESTDIR)$(UNITDIR)/$${unit##*/} && \
		chmod 644 $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit 1; \
	done
	$(if $(INSTALL_RULES),$(INSTALL) -m 644 $(INSTALL_RULES) $(DESTDIR)$(UDEVDIR)/)
	for page in $(INSTALL_PAGES); do \
		$(INSTALL) -D -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; \
	done
	$(INSTALL) -D -m 644 agent/cli/vmcryptctl.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vmcryptctl
	$(INSTALL) -D -m 644 agent/cli/schema.json $(DESTDIR)$(PREFIX)/share/vmcrypt/schema.json
	$(INSTALL) -D -m 644 agent/manager/openapi.yaml $(DESTDIR)$(PREFIX)/share/vmcrypt/openapi.yaml
	$(INSTALL) -D -m 644 scripts/vmcrypt.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/vmcrypt.conf
	$(INSTALL) -D -m 644 scripts/vmcrypt.modules $(DESTDIR)$(PREFIX)/lib/modules-load.d/vmcrypt.conf
	$(INSTALL) -d -m 755 $(DESTDIR)$(SYSCONFDIR)/vmcrypt
	[ -e $(DESTDIR)$(SYSCONFDIR)/vmcrypt/vmcryptd.conf ] || \
		$(INSTALL) -m 644 agent/host/vmcryptd.conf $(DESTDIR)$(SYSCONFDIR)/vmcrypt/vmcryptd.conf

install-dkms:
	$(INSTALL) -d $(DKMS_TREE)
	cp -r --no-preserve=ownership Kbuild kernel uapi $(DKMS_TREE)/
	sed 's/@VERSION@/$(VERSION)/' dkms.conf >$(DKMS_TREE)/dkms.conf
