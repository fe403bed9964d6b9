# The two commands of the README are `make run` and `make test`; each installs what it needs.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)

# A C compiler builds SQLite and ring; nothing else is needed at run time.
BUILD_PACKAGES := gcc libc6-dev make pkg-config
# What tests run against or build images from: real servers and tools where users have them.
TEST_PACKAGES := busybox-static docker-registry iproute2 kmod nftables openssl qemu-system-x86
# What stand-ins for the images of upstream's suite are made of.
CONFORMANCE_PACKAGES := bind9-dnsutils curl netcat-openbsd
# What upstream's node needs beside what the harness unpacks for itself.
BENCH_PACKAGES := busybox-static iproute2 iptables

# Looking at the fuzz targets needs no fuzzer, whose build wants a C++ compiler.
NO_FUZZER := none/libnone.a

install = $(SUDO) tools/install $(1)

.PHONY: run build test lint fuzz bench bench-quick clients conformance conformance-smoke conformance-swap clean

run: build
	$(SUDO) target/release/kutter up $(ARGS)

build:
	@$(call install,$(BUILD_PACKAGES))
	KUTTER_COMMIT="$$(git rev-parse HEAD 2>/dev/null)" $(CARGO) build --release --locked --package kutter

# The binary comes with the tests of its own package; a build for itself would build most crates again.
test:
	@$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES))
	$(SUDO) env PATH="$$PATH" KUTTER_BINARY="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/kutter" \
	  $(CARGO) test --locked --workspace --lib --bins --tests --quiet

# Upstream's programs are built with Debian's Go the first time, in a folder outside of the checkout.
bench: build
	@$(call install,$(BENCH_PACKAGES))
	$(CARGO) build --locked --release --package bench
	$(SUDO) env PATH="$$PATH" target/release/bench $(ARGS)

bench-quick: build
	@$(call install,$(BENCH_PACKAGES))
	$(CARGO) build --locked --release --package bench
	$(SUDO) env PATH="$$PATH" target/release/bench --quick $(ARGS)

lint:
	@$(call install,$(BUILD_PACKAGES))
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	CUSTOM_LIBFUZZER_PATH=$(NO_FUZZER) $(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target -- --deny warnings
	$(CARGO) run --locked --quiet --package xtask -- tidy

# FOCUS=, SKIP= (patterns) and NODES= (processes of the parallel part) choose; KEEP=1 keeps what passes.
# conformance-swap: upstream's scheduler, controllers and node in the place of ours.
conformance conformance-smoke conformance-swap: build
	@$(call install,$(TEST_PACKAGES) $(CONFORMANCE_PACKAGES))
	$(CARGO) build --locked --package conformance
	$(SUDO) env PATH="$$PATH" KUTTER_BINARY="$(CURDIR)/target/release/kutter" \
	  target/debug/conformance $(filter smoke swap,$(subst -, ,$@))

# TIME= seconds for each target, TARGETS= which of them. docs/fuzzing.md tells what was found.
fuzz:
	@$(call install,$(BUILD_PACKAGES) g++)
	CARGO="$(CARGO)" TIME=$(TIME) tools/fuzz $(TARGETS)

# Clients in several languages, and kubectl and Helm; ARGS= names some of the folders of tools/clients.
clients: build
	@$(call install,$(TEST_PACKAGES) curl)
	$(CARGO) run --locked --quiet --package testkit --bin test-images >/dev/null
	$(SUDO) env PATH="$$PATH" tools/clients/run $(ARGS)

clean:
	$(CARGO) clean
