# SPDX-License-Identifier: MIT
# Everything is set up on demand: a virtual environment in .venv, Debian packages only for the tests.

PYTHON ?= python3
VENV ?= .venv
# Passed on by run, test, kernel-test and bench: make run ARGS="--duration 10", make test ARGS="-k ringbuf"
ARGS ?=
# What kernel-test runs under: kernels of kernel-matrix, and the running one; so many at once.
KERNELS ?= 5.10 6.1 6.12 newest this
JOBS ?= 1

ZIPAPP := dist/crypto-tracer.pyz
# Another PYTHON is another stamp, so changing it sets up the environment anew.
STAMP := $(VENV)/.for-$(subst /,_,$(PYTHON))
IN_VENV := $(VENV)/bin/python
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
SOURCES := $(shell find pybpfload tracer bpf/objects \( -name '*.py' -o -name '*.bpf.o' \) 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(ZIPAPP) ## show what this host does with cryptography, until Ctrl-C (ARGS="--duration 10")
	@trap : INT; $(AS_ROOT) $(IN_VENV) -I $(ZIPAPP) monitor $(ARGS) || [ $$? -eq 130 ] # 130: Ctrl-C

.PHONY: ready
ready: $(STAMP)-dev ## bring in what the tests need, and no more
	@tools/setup_tests.sh

.PHONY: test
test: $(STAMP)-dev ## run the tests (ARGS="tests/unit -k btf")
	@tools/setup_tests.sh
	@$(IN_VENV) -m pytest $(ARGS)

.PHONY: kernel-test
kernel-test: $(STAMP)-dev ## run the kernel tests under other kernels, as root (KERNELS="5.10 newest", JOBS=2)
	@tools/setup_tests.sh
	@$(IN_VENV) tools/kernel_test.py --jobs $(JOBS) $(KERNELS) -- $(ARGS)

.PHONY: check
check: $(STAMP)-dev ## lint and type-check
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .
	$(IN_VENV) -m mypy

.PHONY: format
format: $(STAMP)-dev ## lay out the code, sort imports
	$(IN_VENV) -m ruff format .
	$(IN_VENV) -m ruff check --fix .

.PHONY: objects
objects: $(STAMP)-dev ## compile the BPF objects for every architecture (needs clang-19)
	@tools/setup_tests.sh
	$(IN_VENV) tools/build_objects.py

.PHONY: docs
docs: $(STAMP)-dev ## write docs/api.md anew from the docstrings
	$(IN_VENV) tools/gen_api.py

.PHONY: zipapp
zipapp: $(ZIPAPP) ## build dist/crypto-tracer.pyz, the single-file program

$(ZIPAPP): $(STAMP) $(SOURCES) tools/build_zipapp.py
	@$(IN_VENV) tools/build_zipapp.py --output $@

.PHONY: image
image: $(STAMP) ## build the image with podman, without a network but for its base
	@$(IN_VENV) -m pip download --quiet --no-deps --dest build/wheelhouse --requirement requirements-zipapp.txt
	podman build --timestamp "$$(git log -1 --format=%ct)" --tag crypto-tracer .

.PHONY: release
release: $(STAMP)-dev ## build all of a release into dist/release (ARGS="--no-image --key FILE")
	@tools/setup_venv.sh $(VENV)-release $(PYTHON) requirements-dev.txt
	@$(VENV)-release/bin/python -m pip install --quiet --requirement requirements-release.txt
	@$(VENV)-release/bin/python tools/release.py $(ARGS)

.PHONY: bench
bench: $(ZIPAPP) ## measure start, stop, memory and decoding, beside other tools where installed
	@$(AS_ROOT) $(IN_VENV) -m bench $(ARGS)
	@$(AS_ROOT) $(IN_VENV) -m bench.commands
	@echo
	@$(IN_VENV) -m bench.btf
	@echo
	@$(AS_ROOT) $(IN_VENV) -m bench.ringbuf

.PHONY: picture
picture: $(ZIPAPP) $(STAMP)-dev ## draw docs/images/top.svg from a real run (needs openssl and curl)
	@$(AS_ROOT) $(IN_VENV) tools/picture.py

.PHONY: clean
clean: ## remove all that was made, the virtual environments too
	rm -rf .venv .venv-* dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the product needs, and what developing it needs.
$(STAMP): requirements-zipapp.txt tools/setup_venv.sh
	@tools/setup_venv.sh $(VENV) $(PYTHON) requirements-zipapp.txt
	@touch $@

$(STAMP)-dev: $(STAMP) requirements-dev.txt
	@tools/setup_venv.sh $(VENV) $(PYTHON) requirements-dev.txt
	@touch $@
