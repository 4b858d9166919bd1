# Tollgate. `make run` and `make test` are all that is needed; the rest is for those who work on it.
#
#   make run      build, and run the demo: a real trace billed on this machine, in ./tollgate-data
#   make test     every test
#   make build    target/release/tollgate, and the ClickHouse engine where it finds it
#   make soak     the long tests
#   make bench    the benchmarks
#   make sbom     target/sbom.cdx.json: every crate in the program, with version and licence (CycloneDX); needs jq
#
# With PDF=0 the build leaves out invoices as PDF: their typesetter is some minutes of compiling.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help tools test-tools engine build run test soak bench sbom

help:
	@sed -n 's/^#   //p' Makefile

# Says everything that is missing at once, and how to get it, before the first minute is spent on compiling.
tools:
	@missing=0
	need() { command -v "$$1" > /dev/null || { echo "missing: $$1 ($$2)" >&2; missing=1; }; }
	need "$(CARGO)" "Rust 1.95 or newer: https://rustup.rs"
	need cc "a C compiler: apt-get install build-essential"
	need c++ "a C++ compiler: apt-get install build-essential"
	need pkg-config "apt-get install pkg-config"
	pkg-config --exists openssl 2> /dev/null || { echo "missing: OpenSSL's headers (apt-get install libssl-dev)" >&2; missing=1; }
	if [[ -z "$${TOLLGATE_ENGINE_LIB:-}" && ! -e .cache/engine/libchdb.so ]]; then
		need npm "Node.js with npm, to fetch the ClickHouse engine; or set TOLLGATE_ENGINE_LIB to a libchdb.so at hand"
	fi
	[[ "$$(uname -s)-$$(uname -m)" == Linux-x86_64 || -n "$${TOLLGATE_ENGINE_LIB:-}" ]] \
		|| { echo "missing: an engine for $$(uname -sm); set TOLLGATE_ENGINE_LIB to a libchdb.so for it" >&2; missing=1; }
	exit "$$missing"

# What the tests need besides: a published ClickHouse client (Python); with CI=true also a real Kafka (Java, Maven) and PostgreSQL.
test-tools:
	@missing=0
	need() { command -v "$$1" > /dev/null || { echo "missing: $$1 ($$2)" >&2; missing=1; }; }
	if ! lack=$$(deploy/dev-kafka/kafka check 2>&1); then
		echo "$$lack: THE STREAMING TESTS RUN ON A MOCK OF KAFKA, those that it cannot serve do not run" >&2
		[[ "$${CI:-}" != true ]] || missing=1
	fi
	need python3 "apt-get install python3 python3-venv"
	need openssl "apt-get install openssl"
	for tool in curl jq zstd; do need "$$tool" "apt-get install $$tool, for the book's commands"; done
	if ! ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1; then
		echo "missing: PostgreSQL (apt-get install postgresql): THE LEDGER IS NOT TESTED ON POSTGRESQL, only on SQLite" >&2
		[[ "$${CI:-}" != true ]] || missing=1
	fi
	exit "$$missing"

engine: tools
	@deploy/engine/fetch

build: engine
	$(CARGO) build --release --locked $(if $(filter 0,$(PDF)),--no-default-features) --bin tollgate

run: build
	exec "$(TARGET)/release/tollgate" up --demo

test: test-tools engine
	$(CARGO) test --workspace --locked --no-fail-fast

# Tests that take many minutes are marked `#[ignore = "soak: …"]`.
soak: test-tools engine
	$(CARGO) test --workspace --locked --release --no-fail-fast -- --ignored

bench: build
	$(CARGO) bench --workspace --locked

sbom:
	mkdir -p "$(TARGET)"
	$(CARGO) metadata --locked --format-version 1 --filter-platform x86_64-unknown-linux-gnu \
		| jq --arg root tollgate -f deploy/sbom.jq > "$(TARGET)/sbom.cdx.json"
	echo "$(TARGET)/sbom.cdx.json: $$(jq '.components | length' "$(TARGET)/sbom.cdx.json") components"
