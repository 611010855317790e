# Two commands matter: `make demo` and `make test`. Both do their own set-up; `make help` lists the rest.

PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
CARGO ?= cargo
ARGS ?=

BIN := $(VENV)/bin
LOCKED := $(if $(CI),--locked)
CORE := --no-default-features
# What the release profile adds to the kernels' own speed would be spent on linking.
FAST_BUILD := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

# What the installed package is made of. Folders are listed too, so that a removed file counts as a change.
SOURCES := Cargo.toml $(wildcard Cargo.lock) pyproject.toml README.md LICENSE \
	$(shell find src python -name __pycache__ -prune -o -print)

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##### Set-up. The stamps live in the environment: removing it resets them.

# Where Python comes without ensurepip (Debian's python3 without python3-venv), pip installs itself from outside.
$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "focalgrad needs Python 3.11 or later (set PYTHON)" >&2; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@touch $@

$(VENV)/.tools: requirements-dev.txt | $(VENV)/.created
	@echo "installing requirements-dev.txt into $(VENV)"
	@$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

# Into site-packages, never editable: an editable install leaves a compiled module in python/, which goes stale and
# hides the next one. A target folder of its own: with and without the binding the library has the same name, and the
# two would make each other be built again. With the tools at hand the pinned maturin builds; else pip fetches one.
$(VENV)/.package: $(SOURCES) | $(VENV)/.created
	@echo "building focalgrad from source into $(VENV): some minutes of work for the compiler the first time"
	@PATH="$(abspath $(BIN)):$$PATH" CARGO_TARGET_DIR="$(CURDIR)/target/python" \
		$(BIN)/python -m pip install --disable-pip-version-check $(if $(wildcard $(BIN)/maturin),--no-build-isolation) .
	@touch $@

.PHONY: develop
develop: $(VENV)/.tools $(VENV)/.package ## tools and package into .venv; after an edit, rebuild what changed

##### Use

.PHONY: demo
demo: $(VENV)/.package ## install from source and evaluate the committed flights data
	$(BIN)/focalgrad evaluate examples/flights/logits.npy examples/flights/targets.npy $(ARGS)

##### Tests

.PHONY: test
test: lint test-rust types stubs doctest test-python ## everything: checks, Rust tests, doctests, Python tests

.PHONY: test-rust
test-rust: ## Rust tests of the core, without Python
	$(FAST_BUILD) $(CARGO) test $(LOCKED) $(CORE) --release $(ARGS)

.PHONY: test-python
test-python: develop ## Python tests, once per instruction set of this machine (ARGS goes to pytest)
	$(BIN)/python tests/run.py $(ARGS)

.PHONY: doctest
doctest: develop ## the examples in docstrings and in README.md
	$(BIN)/python -m pytest --doctest-modules --doctest-glob='README.md' --pyargs focalgrad README.md

.PHONY: types
types: develop ## mypy --strict over the package
	$(BIN)/python -m mypy --strict

.PHONY: stubs
stubs: develop ## the type stubs against the compiled module
	$(BIN)/python -m mypy.stubtest focalgrad._core

##### Checks

.PHONY: lint
lint: lint-rust lint-python spelling check-coefficients ## formatting, clippy, ruff, spelling, coefficients

.PHONY: lint-rust
lint-rust: $(VENV)/.created ## cargo fmt, and clippy with and without the binding
	$(CARGO) fmt --check
	$(CARGO) clippy $(LOCKED) --all-targets $(CORE) -- -D warnings
	PYO3_PYTHON="$(abspath $(BIN)/python)" $(CARGO) clippy $(LOCKED) --all-targets --features abi3 -- -D warnings

.PHONY: lint-python
lint-python: $(VENV)/.tools ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: spelling
spelling: $(VENV)/.tools ## codespell
	$(BIN)/codespell

.PHONY: format
format: $(VENV)/.tools ## rewrite Rust and Python in the house's format
	$(CARGO) fmt
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

##### Numbers

ISA ?=
ALSO ?=
STRIDE ?= 1

.PHONY: walk
walk: ## every float32 logit against the oracle, on ISA=... (STRIDE=97: each 97th; ALSO="...": other sets' bits)
	$(FAST_BUILD) $(CARGO) run $(LOCKED) $(CORE) --release --quiet --example walk -- "$(ISA)" $(STRIDE) $(ALSO)

.PHONY: hashes
hashes: ## regenerate tests/core/hashes.txt, and say what changed its bits
	$(FAST_BUILD) $(CARGO) run $(LOCKED) $(CORE) --release --quiet --example hashes

.PHONY: neon
neon: neon-rust neon-python ## all tests for 64-bit Arm under emulation (Debian)

.PHONY: neon-rust
neon-rust: ## Rust tests for 64-bit Arm under emulation (Debian; ARGS goes to cargo test)
	$(FAST_BUILD) tools/neon.sh test $(ARGS)

.PHONY: neon-ci
neon-ci: ## unit tests, hashes and short walks for 64-bit Arm under emulation (Debian)
	$(FAST_BUILD) tools/neon.sh ci

.PHONY: neon-python
neon-python: $(VENV)/.tools ## Python tests for 64-bit Arm under emulation (Debian; ARGS goes to pytest)
	$(FAST_BUILD) PYTHON="$(abspath $(BIN)/python)" tools/neon.sh python $(ARGS)

.PHONY: truth
truth: $(VENV)/.tools ## compute the values that the oracles are measured against
	$(BIN)/python tools/truth.py > tests/core/oracle/truth.txt
	$(BIN)/python tools/soft_truth.py > tests/core/soft/truth.txt

##### Polynomials

COEFFICIENTS := src/math/exp.rs src/math/log1p.rs src/math/log.rs

.PHONY: coefficients
coefficients: $(VENV)/.tools ## compute the polynomials' coefficients and print them
	$(BIN)/python tools/coefficients.py $(ARGS)

.PHONY: check-coefficients
check-coefficients: $(VENV)/.tools ## the coefficients in the source against those computed
	$(BIN)/python tools/coefficients.py --check $(COEFFICIENTS)

##### Example data

# An environment of its own: what it needs is no dependency of the package and no tool of the tests.
.PHONY: flights
flights: ## the demo's logits and targets, from the raw flights (downloads them)
	$(MAKE) VENV=.venv-flights .venv-flights/.package
	.venv-flights/bin/python -m pip install --quiet -r examples/flights/requirements.txt
	.venv-flights/bin/python examples/flights/prepare.py

##### Benches

.PHONY: bench
bench: develop ## the package against the memory floor, NumPy and C, in one run
	$(BIN)/python benches/speed.py $(ARGS)

.PHONY: bench-rust
bench-rust: ## the kernels in cache, per instruction set (criterion)
	$(CARGO) bench $(LOCKED) $(CORE) $(ARGS)

##### Release

.PHONY: wheel
wheel: $(VENV)/.tools ## source distribution and, built from it, the abi3 wheel, into dist/
	CARGO_TARGET_DIR="$(CURDIR)/target/python" $(BIN)/maturin build --release --sdist --out dist

.PHONY: clean
clean: ## remove everything that was built, the environment included
	rm -rf target dist $(VENV) .venv-flights .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
