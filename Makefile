# Everything here needs python3 (3.11 to 3.13) and nothing else; the first run creates .venv and installs into it.
PYTHON  ?= python3
# Processes for the tests; some of them wait for sockets, so one more than there are cores is not too many.
WORKERS ?= 3
# Seconds that `make verify` may take, and which part of its tests it runs: SHARD=2/4 is the second quarter.
BUDGET  ?= 1800
SHARD   ?= 1/1

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
# Two stamps, so that a first `make demo` need not wait for the developers' tools.
USER_STAMP := $(VENV)/.installed
DEV_STAMP  := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo test lint format verify bench clean

help:  ## this list
	@echo "make <target>:"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-8s %s\n' $$name "$$text"; done

demo: $(USER_STAMP)  ## watch an order travel through the four systems, then survive a lost answer
	@$(BIN)/sandbox demo

test: lint  ## everything a change must pass, in five minutes at most
	@# Hundreds of processes are started: what they import is compiled once, whatever PYTHONDONTWRITEBYTECODE says.
	@$(BIN)/python -m compileall -q sandbox
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder -m "not slow"

lint: $(DEV_STAMP)  ## ruff and mypy --strict, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

verify: $(DEV_STAMP)  ## the long checks; BUDGET=seconds, SHARD=k/n
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder -m slow --budget $(BUDGET) --shard $(SHARD)

bench: $(DEV_STAMP)  ## the speed bars
	@if [ -d tests/bench ]; then $(BIN)/python -m tests.bench; else echo "no benchmarks yet: tests/bench does not exist"; fi

clean:  ## remove .venv, caches and builds
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  "error: $(PYTHON) is Python %d.%d, but 3.11 to 3.13 is needed; name another: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)

$(USER_STAMP): pyproject.toml hatch_build.py | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(DEV_STAMP): pyproject.toml hatch_build.py | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $(USER_STAMP) $@
