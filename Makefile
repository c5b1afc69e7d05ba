# The three commands of a newcomer are run, demo and test; the work itself is in `cargo xtask`.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
LLVM := $(wildcard $(or $(LLVM_SYS_221_PREFIX),/usr/lib/llvm-22)/bin/llvm-config)
# The rooms that link LLVM are built where it is.
ROOMS := --package tidegate $(if $(LLVM),--package tidegate-partition --package tidegate-worker --package tidegate-runtime --package tidegate-drivers --features tidegate/bpf)

.PHONY: run demo test build dependencies fmt clean

## Watch this host: the status page is on http://127.0.0.1:7979
run: build
	$(TARGET)/release/tidegate run

## The main job at work in groups of its own, in under four minutes
demo: build
	$(CARGO) xtask demo

## Every test, with a time per suite
test: dependencies
	$(CARGO) xtask test

# The packages may just have brought LLVM, so what is built is decided in a second look.
build: dependencies
	@$(MAKE) --no-print-directory build-rooms

.PHONY: build-rooms
build-rooms:
	$(CARGO) build --release $(ROOMS)
	@ln -sf tidegate "$(TARGET)/release/tidegate-c++"

## Install from Debian, by name, what is missing
dependencies:
	@sh scripts/dependencies.sh

fmt:
	$(CARGO) fmt --all

clean:
	$(CARGO) clean
