# Rollcall. `make` alone prints what there is.

# The folder of libraries: /usr/lib/x86_64-linux-gnu on Debian, /usr/lib64 elsewhere.
MULTIARCH := $(shell gcc -print-multiarch 2>/dev/null)
PREFIX    ?= /usr
LIBDIR    ?= $(if $(MULTIARCH),$(PREFIX)/lib/$(MULTIARCH),$(PREFIX)/lib64)
BINDIR    ?= $(PREFIX)/bin
UNITDIR   ?= $(PREFIX)/lib/systemd/system
MANDIR    ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc

CARGO     ?= cargo
TARGET    := $(or $(CARGO_TARGET_DIR),target)
# The lock file is part of the source: a build never chooses other versions.
LOCKED    := --locked

# Cargo unifies the features of packages that it builds together. The modules
# are loaded into every process of a host and must not be given the directory
# code of `common`, so they are always built, tested and linted apart.
MODULES   := -p nss_ldap -p pam_ldap
# tokio's feature `signal`, which the daemon needs, keeps sockets of its own for
# ever; direct.so must not have it (see direct/src/worker.rs), so it is built alone.
REST      := -p direct -p rollcall

# What "make install" installs of it.
ARTEFACTS := build/libnss_ldap.so.2 build/pam_ldap.so build/rollcall

.DEFAULT_GOAL := help
.PHONY: help build modules rest dependencies dependencies-quietly needs-root test test-long test-quick \
        test-units test-host demo demo-shell bench bench-plots lint deny doc check-modules check-example \
        install install-direct uninstall clean

say = @printf '\n== %s  %s\n' "$$(date +%T)" $(1)

help:
	@echo 'make build        the modules, direct.so and the daemon, into build/'
	@echo 'make demo         a directory, an sshd and logins, shown in a namespace of its own (root)'
	@echo 'make demo-shell   the same, and a shell in that namespace to try things (root)'
	@echo 'make test-quick   the tests that need neither root nor servers'
	@echo 'make test         everything, against real servers (root)'
	@echo 'make test-long    tests that take minutes: the daemon killed 1000 times (root)'
	@echo 'make bench        speed, as ratios against other clients in the same run (root)'
	@echo '                  N=100000, PEERS="sssd nslcd", LINES="warm logins" choose; see docs/performance.md'
	@echo 'make bench-plots  pictures of some of it, into $(TARGET)/plots (root)'
	@echo 'make lint         formatting, clippy, licences, documentation, what the modules contain'
	@echo 'make dependencies install the Debian packages that building and testing need (root)'
	@echo 'make install      into $(LIBDIR), $(BINDIR) and so on, below DESTDIR'
	@echo 'make install-direct'
	@echo '                  direct.so besides, where no daemon ever runs: containers, installers, test rigs'
	@echo 'make uninstall    remove what these put there; the configuration stays'
	@echo 'make clean        remove build/ and $(TARGET)/'

# --- building ---------------------------------------------------------------

build: modules rest

# Each file is put in its place by a rename: a process may have the old one mapped.
put = @install -m 0755 $(TARGET)/release/$(1) $(2).new && mv -f $(2).new $(2)

modules:
	$(CARGO) build --release $(LOCKED) $(MODULES)
	@mkdir -p build
	$(call put,libnss_ldap.so,build/libnss_ldap.so.2)
	$(call put,libpam_ldap.so,build/pam_ldap.so)

rest:
	$(CARGO) build --release $(LOCKED) -p direct
	$(CARGO) build --release $(LOCKED) -p rollcall
	@mkdir -p build
	$(call put,libdirect.so,build/direct.so)
	$(call put,rollcall,build/rollcall)
	@rm -rf build/man && mkdir -p build/man && build/rollcall man build/man
	@build/rollcall completions bash >build/rollcall.bash

dependencies:
	@packaging/install-dependencies

# For the targets that need root anyway.
needs-root:
	@if [ "$$(id -u)" -ne 0 ]; then \
	    echo 'This needs root: it installs packages where some are missing, makes mount and' >&2; \
	    echo 'network namespaces, and starts servers inside them. The host'"'"'s files stay as they are.' >&2; \
	    echo "Run:  sudo env \"PATH=\$$PATH\" \"HOME=\$$HOME\" make $(MAKECMDGOALS)" >&2; \
	    exit 1; \
	fi

# --- testing ----------------------------------------------------------------

test: needs-root dependencies
	$(call say,'build')
	@$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory test-units
	@$(MAKE) --no-print-directory test-host

test-long: needs-root dependencies build
	$(call say,'a daemon that is killed 1000 times')
	$(CARGO) test $(LOCKED) -p rollcall-tests --test table_fire -- --ignored --nocapture

test-units:
	$(call say,'tests of the modules')
	$(CARGO) test $(LOCKED) -p nss_ldap
	$(CARGO) test $(LOCKED) -p pam_ldap
	$(call say,'tests of common as the modules see it')
	$(CARGO) test $(LOCKED) -p common
	$(call say,'tests of common with the directory')
	$(CARGO) test $(LOCKED) -p common --features directory
	$(call say,'tests of the daemon and of direct.so')
	$(CARGO) test $(LOCKED) -p rollcall
	DIRECT_SO=$(CURDIR)/build/direct.so $(CARGO) test $(LOCKED) -p direct

test-host:
	$(call say,'the demo does what it says')
	$(CARGO) build $(LOCKED) -p rollcall-tests --bin demo
	@$(CARGO) run --quiet $(LOCKED) -p rollcall-tests --bin demo
	$(call say,'tests against real servers')
	$(CARGO) test $(LOCKED) --no-fail-fast -p rollcall-tests

test-quick:
	$(CARGO) test $(LOCKED) --lib -p nss_ldap
	$(CARGO) test $(LOCKED) --lib -p pam_ldap
	$(CARGO) test $(LOCKED) --lib -p common
	$(CARGO) test $(LOCKED) --lib -p common --features directory
	$(CARGO) test $(LOCKED) --bins -p rollcall

demo: needs-root dependencies build
	$(CARGO) build $(LOCKED) -p rollcall-tests --bin demo
	@$(CARGO) run --quiet $(LOCKED) -p rollcall-tests --bin demo

demo-shell: needs-root dependencies build
	$(CARGO) build $(LOCKED) -p rollcall-tests --bin demo
	@$(CARGO) run --quiet $(LOCKED) -p rollcall-tests --bin demo -- --shell

# What is chosen of it: how many users, who else, which lines. Only from the
# command line: a shell may have a LINES of its own in the environment.
given  = '$(1)=$(if $(filter command,$(origin $(1))),$($(1)))'
CHOSEN = $(call given,N) $(call given,PEERS) $(call given,LINES)

bench: needs-root dependencies build
	$(CARGO) build --release $(LOCKED) -p rollcall-tests --bin bench
	@$(CARGO) run --quiet --release $(LOCKED) -p rollcall-tests --bin bench -- $(CHOSEN)

bench-plots: needs-root dependencies build
	$(CARGO) build --release $(LOCKED) -p rollcall-tests --bin bench
	@$(CARGO) run --quiet --release $(LOCKED) -p rollcall-tests --bin bench -- plots $(CHOSEN)

# --- checking ---------------------------------------------------------------

lint:
	$(call say,'formatting')
	$(CARGO) fmt --all -- --check
	$(call say,'clippy')
	$(CARGO) clippy $(LOCKED) --all-targets -p nss_ldap -p pam_ldap -p common -- -D warnings
	$(CARGO) clippy $(LOCKED) --all-targets -p common --features directory \
	    $(REST) -p rollcall-tests -- -D warnings
	@$(MAKE) --no-print-directory deny
	@$(MAKE) --no-print-directory doc
	@$(MAKE) --no-print-directory modules rest
	@$(MAKE) --no-print-directory check-modules
	@$(MAKE) --no-print-directory check-example
	@packaging/check-documents

# The advisory database comes from the network; where it can't be had, the
# checks that need none still count.
deny:
	$(call say,'licences and sources and bans')
	@command -v cargo-deny >/dev/null || \
	    { echo 'cargo-deny is missing; get it with: cargo install cargo-deny --locked' >&2; exit 1; }
	$(CARGO) deny --locked check licenses bans sources
	@if timeout 120 $(CARGO) deny --locked fetch db >/dev/null 2>&1; then \
	    $(CARGO) deny --locked check --disable-fetch advisories; \
	else \
	    echo 'advisories: not checked, the advisory database could not be fetched'; \
	fi

doc:
	$(call say,'documentation')
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(LOCKED) --no-deps --document-private-items \
	    -p nss_ldap -p pam_ldap
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(LOCKED) --no-deps --document-private-items \
	    -p common --features directory $(REST) -p rollcall-tests

check-modules:
	$(call say,'what the modules contain')
	@packaging/check-modules build

check-example:
	$(call say,'the example configuration')
	build/rollcall check --config packaging/rollcall.toml

# --- installing -------------------------------------------------------------

# $(call place,mode,source,destination): a rename, since every process of the
# host may have the old file mapped.
place = @install -d '$(DESTDIR)$(dir $(3))' && \
        install -m $(1) '$(2)' '$(DESTDIR)$(3).new' && \
        mv -f '$(DESTDIR)$(3).new' '$(DESTDIR)$(3)' && echo '$(DESTDIR)$(3)'

# Debian's libnss-ldapd and libpam-ldapd have files of these names.
install:
	@for file in $(ARTEFACTS); do [ -e "$$file" ] || \
	    { echo "$$file is missing: run \"make build\" first" >&2; exit 1; }; done
	@[ -n '$(DESTDIR)' ] || ! command -v dpkg-query >/dev/null || \
	for file in libnss_ldap.so.2 security/pam_ldap.so; do \
	    if owner=$$(dpkg-query --search "*/$$file" 2>/dev/null); then \
	        echo "another package has this file: $$owner" >&2; \
	        echo 'remove that package first' >&2; exit 1; \
	    fi; done
	$(call place,0644,build/libnss_ldap.so.2,$(LIBDIR)/libnss_ldap.so.2)
	$(call place,0644,build/pam_ldap.so,$(LIBDIR)/security/pam_ldap.so)
	$(call place,0755,build/rollcall,$(BINDIR)/rollcall)
	$(call place,0644,packaging/systemd/rollcall.service,$(UNITDIR)/rollcall.service)
	$(call place,0644,packaging/systemd/rollcall.socket,$(UNITDIR)/rollcall.socket)
	$(call place,0644,packaging/sysusers/rollcall.conf,$(PREFIX)/lib/sysusers.d/rollcall.conf)
	$(call place,0644,packaging/tmpfiles/rollcall.conf,$(PREFIX)/lib/tmpfiles.d/rollcall.conf)
	$(call place,0644,packaging/pam/rollcall,$(PREFIX)/share/pam-configs/rollcall)
	$(call place,0644,packaging/pam/rollcall-password,$(PREFIX)/share/pam-configs/rollcall-password)
	$(call place,0644,packaging/man/rollcall.toml.5,$(MANDIR)/man5/rollcall.toml.5)
	$(call place,0644,packaging/man/pam_ldap.8,$(MANDIR)/man8/pam_ldap.8)
	@install -d '$(DESTDIR)$(MANDIR)/man1' && install -m 0644 build/man/*.1 '$(DESTDIR)$(MANDIR)/man1'
	$(call place,0644,build/rollcall.bash,$(PREFIX)/share/bash-completion/completions/rollcall)
	$(call place,0644,LICENSE,$(PREFIX)/share/doc/rollcall/copyright)
	$(call place,0644,README.md,$(PREFIX)/share/doc/rollcall/README.md)
	$(call place,0644,packaging/rollcall.toml,$(PREFIX)/share/doc/rollcall/examples/rollcall.toml)
	$(call place,0644,packaging/pam/examples/common-auth,$(PREFIX)/share/doc/rollcall/examples/common-auth)
	$(call place,0644,packaging/pam/examples/common-account,$(PREFIX)/share/doc/rollcall/examples/common-account)
	$(call place,0644,packaging/pam/examples/common-password,$(PREFIX)/share/doc/rollcall/examples/common-password)
	@if [ -e '$(DESTDIR)$(SYSCONFDIR)/rollcall.toml' ]; then \
	    echo '$(DESTDIR)$(SYSCONFDIR)/rollcall.toml (kept as it is)'; \
	else \
	    install -d '$(DESTDIR)$(SYSCONFDIR)' && \
	    install -m 0644 packaging/rollcall.toml '$(DESTDIR)$(SYSCONFDIR)/rollcall.toml' && \
	    echo '$(DESTDIR)$(SYSCONFDIR)/rollcall.toml'; \
	fi
	@[ -n '$(DESTDIR)' ] || echo 'Next: README.md, "Set it up".'

# Where it is installed, programs go to the network themselves whenever the
# daemon's socket is missing: on a host with a daemon that is early boot, or a chroot.
install-direct:
	@[ -e build/direct.so ] || { echo 'build/direct.so is missing: run "make build" first' >&2; exit 1; }
	$(call place,0644,build/direct.so,$(LIBDIR)/rollcall/direct.so)

uninstall:
	@[ -n '$(DESTDIR)' ] || ! command -v pam-auth-update >/dev/null || \
	    pam-auth-update --package --remove rollcall rollcall-password
	@[ -n '$(DESTDIR)' ] || [ ! -d /run/systemd/system ] || \
	    systemctl disable --now rollcall.socket rollcall.service || true
	rm -f '$(DESTDIR)$(LIBDIR)/libnss_ldap.so.2' '$(DESTDIR)$(LIBDIR)/security/pam_ldap.so'
	rm -f '$(DESTDIR)$(LIBDIR)/rollcall/direct.so' '$(DESTDIR)$(BINDIR)/rollcall'
	rm -f '$(DESTDIR)$(UNITDIR)/rollcall.service' '$(DESTDIR)$(UNITDIR)/rollcall.socket'
	rm -f '$(DESTDIR)$(PREFIX)/lib/sysusers.d/rollcall.conf'
	rm -f '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/rollcall.conf'
	rm -f '$(DESTDIR)$(PREFIX)/share/pam-configs/rollcall'
	rm -f '$(DESTDIR)$(PREFIX)/share/pam-configs/rollcall-password'
	rm -f '$(DESTDIR)$(MANDIR)/man5/rollcall.toml.5' '$(DESTDIR)$(MANDIR)/man8/pam_ldap.8'
	rm -f '$(DESTDIR)$(MANDIR)'/man1/rollcall.1 '$(DESTDIR)$(MANDIR)'/man1/rollcall-*.1
	rm -f '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/rollcall'
	rm -rf '$(DESTDIR)$(PREFIX)/share/doc/rollcall'
	@rmdir '$(DESTDIR)$(LIBDIR)/rollcall' 2>/dev/null || true
	@# Where there is a table, direct.so isn't asked: a daemon is expected back.
	@[ -n '$(DESTDIR)' ] || rm -f /run/rollcall/table* /var/cache/rollcall/table*
	@[ -n '$(DESTDIR)' ] || ! grep -Eqs '^(passwd|group|shadow|initgroups):.*\bldap\b' /etc/nsswitch.conf || \
	    echo '/etc/nsswitch.conf still names "ldap": take it out.'
	@echo '$(DESTDIR)$(SYSCONFDIR)/rollcall.toml stays.'

clean:
	rm -rf build
	$(CARGO) clean
