# Two commands set up everything from a bare Python 3.11+ with pip: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := deployments/constraints.txt
CACHES := .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
# uv installs faster where it is at hand; both ways end in the same pinned versions.
UV := $(shell command -v uv 2>/dev/null)
# Prefect starts in half the time when its modules are compiled once, at set-up: pip does that, uv when told.
export PYTHONDONTWRITEBYTECODE :=
export DO_NOT_TRACK := 1

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

.DEFAULT_GOAL := help
.PHONY: help setup demo test check soak lowest bench wheel docs audit clean

help:
	@echo "make demo    install, then copy a simulated workspace into ./lake/demo (no account needed)"
	@echo "make test    install, then run every check and test"
	@echo "make soak    the long forms of random tests: kills, faults, laws; MINUTES=30, SEED=7, ONLY=\"survival\" for a part"
	@echo "make check   format, lint, types, import layers, weaknesses of our code"
	@echo "make lowest  the demo and some tests with the oldest versions of all packages that are allowed"
	@echo "make wheel   the demo from a wheel, in an environment of its own"
	@echo "make docs    the documentation as a site in build/site; a broken link is an error"
	@echo "make audit   known weaknesses of the packages that are used: asks the internet"
	@echo "make bench   measure all, or PARTS=\"decode rate\" only"
	@echo "make clean   remove the virtual environment and caches; no lake"

ifdef UV
# uv has a progress bar of its own; pip takes a minute or two, and a dot for each of its lines shows that it lives.
INSTALL := $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python -c $(CONSTRAINTS)
else
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c $(CONSTRAINTS)
DOTS := | awk '{ printf "."; fflush() } END { print "" }'
endif

$(VENV)/.run: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(INSTALL) -e . $(DOTS)
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo "Installing what tests need into $(VENV) ..."
	@$(INSTALL) -e '.[test,bench]' $(DOTS)
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	@echo "Installing what the documentation needs into $(VENV) ..."
	@$(INSTALL) -e '.[docs]' $(DOTS)
	@touch $@

setup: $(VENV)/.run

demo: setup
	$(BIN)/intercom-lake demo

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive intercom flows deployments

# Temporary files lie in memory where there is room: tests flush much to disk.
MEMORY := $(shell test -w /dev/shm && test "$$(df --output=avail /dev/shm | tail -n 1)" -gt 8000000 && echo /dev/shm)
ifdef MEMORY
IN_MEMORY = folder="$$(mktemp -d -p $(MEMORY))"; trap 'rm -rf "$$folder"' EXIT;
BASETEMP = --basetemp="$$folder/tests"
endif

# Three processes for two cores, since one of them waits for Prefect's servers and its runs at most times.
test: check
	$(IN_MEMORY) $(BIN)/pytest -n 3 $(BASETEMP) $(PYTEST)

MINUTES ?= 30
soak: $(VENV)/.test
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

# In an environment of its own beside the other, and a Prefect home: an older server does not take a newer one's database.
lowest: export PREFECT_HOME := $(CURDIR)/$(VENV)/lowest/prefect
lowest:
	$(MAKE) VENV=$(VENV)/lowest CONSTRAINTS=deployments/lowest.txt $(VENV)/lowest/.test
	$(VENV)/lowest/bin/python flows/sync.py --demo --lake $(VENV)/lowest/lake
	$(VENV)/lowest/bin/pytest -n 2 -W default tests/config tests/tables tests/normalise tests/compaction

bench: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks.run $(PARTS)

docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --quiet --strict --config-file deployments/mkdocs.yml
	@echo "The site is in build/site: open build/site/index.html, or with the search: python3 -m http.server -d build/site"

# In an environment of its own: it depends on much that nothing else here needs. It asks the internet.
audit:
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9'
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement $(CONSTRAINTS)

# As a user has it: the wheel in an environment of its own, with what it depends on, called from an empty folder.
wheel: $(VENV)/.test
	rm -rf $(VENV)/wheel && mkdir -p $(VENV)/wheel/empty
	$(BIN)/python -m hatchling build -t wheel -d $(VENV)/wheel
	$(PYTHON) -m venv $(VENV)/wheel/venv
	@$(subst $(BIN)/python,$(VENV)/wheel/venv/bin/python,$(INSTALL)) $(VENV)/wheel/*.whl $(DOTS)
	cd $(VENV)/wheel/empty && HOME="$$PWD" ../venv/bin/intercom-lake demo

clean:
	rm -rf $(VENV) $(CACHES)
	find flows intercom deployments tests -type d -name __pycache__ -prune -exec rm -rf {} +
