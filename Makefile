# Everything that a newcomer runs; each target makes the environment first, if there is none.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONHASHSEED = 0

.PHONY: help setup demo demo-fleet test test-all test-npu lint format types audit bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.ready  ## make .venv with everything, and Debian's emulator where this is root

$(VENV)/.ready: pyproject.toml tests/assets.txt scripts/setup
	PYTHON=$(PYTHON) VENV=$(VENV) scripts/setup
	@touch $@

demo: setup  ## the main job: convert, compress, run on an emulated Pi, learn on five devices; writes out/demo/index.html
	$(BIN)/python examples/demo.py out/demo

demo-fleet: setup  ## a cloud, a gateway and 20 agents: releases, a wrong model taken back, learning; out/demo-fleet/index.html
	$(BIN)/python examples/demo_fleet.py out/demo-fleet

test: setup lint  ## the tests that take seconds
	$(BIN)/python -m pytest -n 2 -m "not slow and not npu"

test-all: setup lint  ## every test, the slow ones too
	$(BIN)/python -m pytest -n 2 -m "not npu"

test-npu: setup  ## NPU vendors' toolkits and providers, in environments that it makes in the cache (3 GB)
	$(BIN)/python -m pytest -n 0 -m npu tests/npu

lint: setup  ## format, lint and types, changing nothing
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy --no-error-summary

audit: setup  ## bandit over the packages, pip-audit over what is installed
	$(BIN)/bandit -q -c pyproject.toml -r edge_runtime converter compress federated cloud
	$(BIN)/pip-audit --skip-editable

format: setup  ## format and mend what can be mended
	$(BIN)/ruff format -q .
	$(BIN)/ruff check -q --fix .

bench: setup  ## run every benchmark, or ONLY="some", and write docs/benchmarks.md
	$(BIN)/python benchmarks/harness.py $(ONLY)

clean:  ## remove what was made here (not the emulator's cache)
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
