# Everything that is done by hand more than once. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
PYTEST := $(PY) -m pytest
PARALLEL ?= -n logical --maxprocesses 4
MANAGE := $(PY) manage.py
LISTED := pyproject.toml deploy/constraints.txt deploy/install.py
PORT ?= 8000
TESTS ?= yes

.PHONY: help
help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

# -- set-up: .venv with the versions of deploy/constraints.txt; stamps make it quick -----

.venv/bin/python:
	@for name in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14 python; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making .venv with $$("$$name" --version) …"; \
	    "$$name" -m venv .venv && exit 0; \
	    echo "python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	done; \
	echo "Netra needs Python 3.11 or newer, and none was found. Name one: make run PYTHON=/path/to/python3" >&2; exit 1

.venv/.installed: $(LISTED) | .venv/bin/python
	@echo "Installing what Netra needs (once, about a minute) …"
	@$(PY) deploy/install.py
	@touch $@

.venv/.installed-dev: $(LISTED) | .venv/bin/python
	@echo "Installing what Netra and its tests need (once, about a minute) …"
	@$(PY) deploy/install.py dev
	@touch .venv/.installed $@

.PHONY: setup
setup: .venv/.installed-dev  ## Make .venv with all that running and testing need
	@:

# -- run -----------------------------------------------------------------------------

.PHONY: run migrate demo
run demo: export NETRA_DEMO = 1
run demo: export NETRA_PUBLIC_URL ?= http://127.0.0.1:$(PORT)
run: .venv/.installed  ## Start Netra with demo data on http://127.0.0.1:8000 (or PORT)
	@$(MANAGE) prepare
	@exec $(MANAGE) serve --port $(PORT)

.PHONY: cluster
cluster: .venv/.installed  ## Two servers, two workers and beat on PostgreSQL and Redis, behind a proxy on PORT
	@PORT=$(PORT) exec $(PY) deploy/cluster.py

migrate: .venv/.installed  ## Bring the database up to date
	@$(MANAGE) migrate --no-input

demo: .venv/.installed  ## Seed the demo and show how to sign in
	@$(MANAGE) prepare

# -- tests ---------------------------------------------------------------------------

MARKERS := mission-critical golden-path security integration performance regression

.PHONY: test faults browser $(MARKERS)
test: setup  ## The test suite, without faults and browser
	@$(PYTEST) $(PARALLEL) -m "not faults and not browser"

faults: setup  ## Processes are killed, services taken away
	@$(PYTEST) -n 2 -m faults

browser: setup  ## A real Chromium drives the pages
	@$(PYTEST) -m browser

mission-critical: setup  ## What must never break: states, events, isolation
golden-path: setup  ## Message in, answer out, through real doors
security: setup  ## Refusals, foreign ids, hostile input
integration: setup  ## Several parts or a real service together
performance: setup  ## Ratios and counts
regression: setup  ## Faults that were found once
$(MARKERS):
	@$(PYTEST) -m "$(subst -,_,$@)"

.PHONY: discovery-audit
discovery-audit: setup  ## Are the tests in the files the tests that run?
	@$(PY) tests/discovery_audit.py

# -- checks --------------------------------------------------------------------------

.PHONY: check format lint types contracts deploy-check
check: lint contracts types deploy-check  ## All static checks, then the tests with coverage (TESTS=no leaves them out)
	@$(MANAGE) makemigrations --check --dry-run
ifneq ($(TESTS),no)
	@$(PYTEST) $(PARALLEL) -m "not faults and not browser" --cov --cov-report=term:skip-covered
endif

lint: setup  ## Format and lint, changing nothing
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@find templates -name '*.html' -print0 | xargs -0 -r .venv/bin/djade --check --target-version 5.2

contracts: setup  ## Import contracts: the column, and the layers inside an app
	@.venv/bin/lint-imports

types: setup  ## mypy --strict
	@$(PY) -m mypy

deploy-check: setup  ## Django's check --deploy as in production
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; export NETRA_VAR="$$folder" NETRA_DEMO=0; \
	  $(PY) -c 'import os; from pathlib import Path; from apps.core.keys import KeyStore; KeyStore(Path(os.environ["NETRA_VAR"], "keys")).ensure(may_create=True)'; \
	  NETRA_PUBLIC_URL=https://netra.example NETRA_DATABASE_URL=postgres://netra@127.0.0.1/netra $(MANAGE) check --deploy --fail-level WARNING

format: setup  ## Format and repair what can be repaired
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .
	@find templates -name '*.html' -print0 | xargs -0 -r .venv/bin/djade --target-version 5.2

# -- what it is made of ----------------------------------------------------------------

SBOM ?= netra.cdx.json

.PHONY: sbom advisories
sbom: setup  ## Write the bill of materials (CycloneDX) to netra.cdx.json (or SBOM=…)
	@$(PY) deploy/sbom.py $(SBOM)

advisories: setup  ## Ask PyPI whether a package of deploy/constraints.txt has a known fault (needs the network)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; $(PY) -m venv "$$folder"; \
	  "$$folder/bin/python" -m pip install -qq --disable-pip-version-check pip-audit==2.10.1; \
	  "$$folder/bin/pip-audit" --strict --disable-pip --no-deps --progress-spinner off -r deploy/constraints.txt

# -- figures -------------------------------------------------------------------------

.PHONY: bench soak
bench: setup  ## The golden path beside the floor
	@$(PY) bench/golden.py

soak: setup  ## The long figures of docs/reliability.md, on SQLite
	@failed=0; for part in slow cancel idle long grown; do \
	  $(PY) bench/load.py $$part || failed=1; done; exit $$failed

.PHONY: constraints
constraints:  ## Write deploy/constraints.txt anew, from a fresh .venv of the newest allowed versions
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; python3 -m venv "$$folder"; \
	  cp deploy/constraints.txt "$$folder/before"; echo > deploy/constraints.txt; \
	  "$$folder/bin/python" deploy/install.py dev || { cp "$$folder/before" deploy/constraints.txt; exit 1; }; \
	  { head -n 1 "$$folder/before"; "$$folder/bin/python" -m pip freeze --disable-pip-version-check | LC_ALL=C sort -f; } > deploy/constraints.txt
