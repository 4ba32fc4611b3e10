# Two commands set up everything from a bare Python 3.11+ with pip: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv installs faster where it is at hand; both ways end in the same pinned versions.
UV := $(shell command -v uv 2>/dev/null)
# Prefect starts in half the time when its modules are compiled once, at set-up.
export PYTHONDONTWRITEBYTECODE :=
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench clean

help:
	@echo "make demo    install, then copy a simulated workspace into ./lake (no account needed)"
	@echo "make test    install, then run every check and test"
	@echo "make check   format, lint, types and import layers"
	@echo "make bench   measure; prints ratios"
	@echo "make clean   remove the virtual environment and ./lake"

$(VENV)/.installed: pyproject.toml deployments/constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
ifdef UV
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python -c deployments/constraints.txt -e '.[test,bench]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c deployments/constraints.txt -e '.[test,bench]'
endif
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	@touch $@

setup: $(VENV)/.installed

demo: setup
	$(BIN)/python flows/sync.py --demo --lake ./lake

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest

bench: setup
	$(BIN)/python tests/benchmarks/run.py

clean:
	rm -rf $(VENV) lake
