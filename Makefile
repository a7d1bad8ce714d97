# What developers and CI run. `make demo` and `make test` need nothing but Python 3.11+ with venv, make and git.

PYTHON ?= python3
# Test processes at a time; the end-to-end tests measure deadlines and share the machine's namespaces.
JOBS ?= auto
E2E_JOBS ?= 3
KILLS ?= 1000
RESTORE_KILLS ?= 100
TRIES ?= 1000
ROUNDS ?= 20

WHEEL_BIN = $(CURDIR)/.venv-wheel/bin
PIP = -m pip --disable-pip-version-check install -q
PYTEST = .venv/bin/pytest

.PHONY: help demo test unit e2e format lint types contracts generated check bench lab crash attack fuzz floor \
	venv wheel wheel-venv clean

help:
	@echo "make demo       install into .venv and show a handoff between two throw-away agents"
	@echo "make test       all tests (unit: from the tree, end-to-end and packaging: from the wheel)"
	@echo "make check      format, lint, types, import contracts, generated code"
	@echo "make bench      the table of figures next to their bounds; writes bench-results.json"
	@echo "make lab        two devices in a network of their own, to play with"
	@echo "make crash      kill the agent under a writing load, KILLS=$(KILLS) times, and in restores, RESTORE_KILLS=$(RESTORE_KILLS)"
	@echo "make attack     the attacker's tries in the lab, TRIES=$(TRIES) of each kind"
	@echo "make fuzz       every generated test again, ROUNDS=$(ROUNDS) times with new seeds"
	@echo "make floor      the tests on the lowest allowed versions of the dependencies"
	@echo "make clean      remove what these made"

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; PYTHON=… names one"; exit 1; }
	$(PYTHON) -m venv .venv

# .venv holds the distribution in one of two ways; each target makes sure of its own.
.venv/editable: .venv/bin/python pyproject.toml
	.venv/bin/python $(PIP) --editable '.[dev]'
	@rm -f .venv/installed && touch $@

venv: .venv/editable

demo: .venv/bin/python
	@rm -f .venv/editable
	@echo "Installing Keybaton into .venv …"
	@[ -e .venv/installed ] || .venv/bin/python $(PIP) . && touch .venv/installed
	@.venv/bin/python $(PIP) --force-reinstall --no-deps .
	@.venv/bin/keybaton demo

wheel: .venv/editable
	@rm -rf build/wheel
	.venv/bin/python -m hatchling build -t wheel -d build/wheel

# An environment with nothing but the wheel and what it needs, as users have it.
wheel-venv: wheel
	@[ -x .venv-wheel/bin/python ] || $(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python $(PIP) build/wheel/*.whl
	.venv-wheel/bin/python $(PIP) --force-reinstall --no-deps build/wheel/*.whl

test: unit e2e

unit: venv
	$(PYTEST) -n $(JOBS) --dist loadfile -m "not e2e and not packaging"

e2e: venv wheel-venv
	KEYBATON_BIN=$(WHEEL_BIN)/keybaton $(PYTEST) -n $(E2E_JOBS) --dist loadfile -m "e2e or packaging"

check: format lint types contracts generated

format: venv
	.venv/bin/ruff format --check .

lint: venv
	.venv/bin/ruff check .

types: venv
	.venv/bin/mypy

contracts: venv
	.venv/bin/lint-imports

generated: venv
	.venv/bin/python proto/generate.py --check
	.venv/bin/python -m keybaton_cli.manpages clients/man --check

bench: venv wheel-venv
	KEYBATON_BIN=$(WHEEL_BIN)/keybaton .venv/bin/python -m keybaton_testing.bench $(BENCH)

# On a terminal with tmux: a pane for each device.
lab: venv wheel-venv
	KEYBATON_BIN=$(WHEEL_BIN)/keybaton .venv/bin/python -m keybaton_testing.lab

crash: venv wheel-venv
	KEYBATON_BIN=$(WHEEL_BIN)/keybaton .venv/bin/python -m keybaton_testing.crash --kills $(KILLS)
	KEYBATON_BIN=$(WHEEL_BIN)/keybaton .venv/bin/python -m keybaton_testing.crash_restore --kills $(RESTORE_KILLS)

attack: venv wheel-venv
	KEYBATON_BIN=$(WHEEL_BIN)/keybaton .venv/bin/python -m keybaton_testing.attacker --tries $(TRIES)

# Each run has new seeds; what fails is printed with the values that made it fail.
fuzz: venv
	@for round in $$(seq 1 $(ROUNDS)); do \
		$(PYTEST) -q -n $(JOBS) -m "hypothesis and not e2e" --hypothesis-profile=new-examples --hypothesis-seed="$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" || exit 1; \
	done

floor: .venv/editable
	@[ -x .venv-floor/bin/python ] || $(PYTHON) -m venv .venv-floor
	.venv/bin/uv pip install -q --python .venv-floor/bin/python --resolution lowest-direct --editable '.[dev]'
	.venv-floor/bin/pytest -n $(JOBS) --dist loadfile -m "not e2e and not packaging"

clean:
	rm -rf .venv .venv-wheel .venv-floor .venv-gen build dist bench-results.json .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
