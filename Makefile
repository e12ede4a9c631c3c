# Every target sets up what it needs: a virtual environment in .venv with the versions of constraints/.
# Needed beforehand: Python 3.11 or newer (its venv module included), git, make.

# The first Python on PATH that is new enough and can make virtual environments; name another with make PYTHON=…
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
VENV := .venv
CONSTRAINTS := constraints/airflow-3.3.txt
READY := $(VENV)/.ready
BIN := $(VENV)/bin
# Tools that Airflow's versions must not meet have environments of their own, made by the same uv.
DOCS := .venv-docs
BUILD := .venv-build
MATRIX := .venv-matrix
BENCH := .venv-bench

# The older versions of Airflow, and until when packages count that fit them: newer ones break them. The lowest version of
# everything is tested on the oldest.
LOWEST := 2026-03-21
OLDER := 2.11=$(LOWEST) 3.0=2025-09-05 3.1=2026-03-18 3.2=2026-06-05
ALWAYS_NEWEST := $(patsubst %,--exclude-newer-package=%=2100-01-01,apache-airflow-providers-common-compat quickjs-ng)

# uv verifies against the system's trust store, as pip and git do, so that a company's own CA works.
export UV_SYSTEM_CERTS := 1
export UV_NO_PROGRESS := 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-ui test test-fast lint types check kills bad-day faults bench bench-smoke bench-latency docs docs-serve build matrix ui-test chromium live constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Run the example DAG on a real Airflow against the emulator; ends by itself
	$(BIN)/python -m dev.scripts.demo

demo-ui: $(READY) ## The same, then keep Airflow's web UI open until Ctrl-C
	$(BIN)/python -m dev.scripts.demo --ui

test: $(READY) ## Run the tests, those on a real Airflow included
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not e2e and not alone and not ui"
	$(BIN)/python -m pytest -m "(e2e or alone) and not kills and not bad_day and not ui"

test-fast: $(READY) ## Run the tests that need no Airflow processes
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not e2e and not alone and not ui"
	$(BIN)/python -m pytest -m "alone and not e2e and not ui"

lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types
	$(BIN)/mypy

check: lint types test ## Lint, types and tests

kills: $(READY) ## Kill tasks, workers and triggerers at every point of a submission; print what became of it
	$(BIN)/python -m dev.proofs.kills

bad-day: $(READY) ## Let everything fail once while 200 waits are in flight; needs PostgreSQL's server installed
	$(BIN)/python -m dev.proofs.bad_day

faults: $(READY) ## Let every way of waiting meet every fault; print the table, write it into docs/reliability.md
	$(BIN)/python -m dev.proofs.faults

bench: $(BENCH)/.ready ## Measure everything (under twenty minutes); write benchmarks/results/, the tables and plots of docs/performance.md
	$(BENCH)/bin/python -m benchmarks

bench-smoke: $(BENCH)/.ready ## Show that everything can be measured, in less than a minute (all but what needs an Airflow)
	$(BENCH)/bin/python -m benchmarks --smoke

bench-latency: $(BENCH)/.ready ## Measure only how long after COMPLETED a task has ended, for each way through Airflow
	$(BENCH)/bin/python -m benchmarks latency

docs: $(DOCS)/.ready ## Build the documentation as a site in site/; every warning is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	@echo "The site is in site/index.html"

docs-serve: $(DOCS)/.ready ## Show the documentation on a port of this machine, and follow its changes
	$(DOCS)/bin/mkdocs serve

build: $(BUILD)/.ready ## Build source distribution and wheel in dist/, and try the wheel in a new environment
	rm -rf dist
	$(BUILD)/bin/python -m build --no-isolation --outdir dist
	$(BUILD)/bin/twine check --strict dist/*
	$(BUILD)/bin/python -m dev.scripts.build --uv $(BIN)/uv --constraints $(CONSTRAINTS) dist

matrix: $(MATRIX)/.ready ## Run the tests on every supported Airflow and Python; needs those Pythons and PostgreSQL's server
	PATH="$(CURDIR)/$(BIN):$$PATH" $(MATRIX)/bin/nox $(SESSIONS)

ui-test: chromium $(MATRIX)/.ready ## Try the web UI in a browser, on Airflow 3.3 and 2.11; SCREENSHOTS=1 renews docs/screenshots
	PATH="$(CURDIR)/$(BIN):$$PATH" $(MATRIX)/bin/nox --session ui

# Before anything else: one of those that tests/ui/browser.py looks for.
chromium:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
		echo "Needed: Chromium on PATH (on Debian: apt install chromium fonts-liberation)" >&2; exit 1

live: $(READY) ## Try the provider against the real service, with credentials of yours (see CONTRIBUTING.md)
	$(BIN)/python -m dev.scripts.live

constraints: $(READY) ## Renew the pinned versions
	$(BIN)/uv pip compile pyproject.toml --extra emulator --group dev --universal --python-version 3.11 \
		--no-annotate --no-header --upgrade --output-file $(CONSTRAINTS)
	$(BIN)/uv pip compile --group bench --constraint $(CONSTRAINTS) --python-version 3.11 \
		--no-annotate --no-header --upgrade --quiet --output-file constraints/bench.txt
	for pair in $(OLDER); do echo "apache-airflow==$${pair%=*}.*" | $(BIN)/uv pip compile pyproject.toml --extra emulator \
		--group dev --constraint - --exclude-newer $${pair#*=} $(ALWAYS_NEWEST) --python-version 3.11 \
		--no-annotate --no-header --upgrade --quiet --output-file constraints/airflow-$${pair%=*}.txt || exit; done
	$(BIN)/uv pip compile pyproject.toml --extra emulator --resolution lowest-direct --exclude-newer $(LOWEST) \
		$(ALWAYS_NEWEST) --python-version 3.11 --no-annotate --no-header --quiet | $(BIN)/uv pip compile pyproject.toml \
		--extra emulator --group dev --constraint - --exclude-newer $(LOWEST) $(ALWAYS_NEWEST) --python-version 3.11 \
		--no-annotate --no-header --upgrade --quiet --output-file constraints/lowest.txt
	for group in docs build matrix; do $(BIN)/uv pip compile --group $$group --universal --python-version 3.11 \
		--no-annotate --no-header --upgrade --quiet --output-file constraints/$$group.txt || exit; done
	$(BIN)/uv pip compile --group ui --no-emit-package greenlet --no-emit-package typing-extensions --universal \
		--python-version 3.11 --no-annotate --no-header --upgrade --quiet --output-file constraints/ui.txt

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) $(DOCS) $(BUILD) $(BENCH) $(MATRIX) .nox .pytest_cache .mypy_cache .ruff_cache .hypothesis dist site

$(READY): pyproject.toml $(CONSTRAINTS) | $(BIN)/uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --compile-bytecode --constraint $(CONSTRAINTS) --editable '.[emulator]' --group dev
	@touch $@

$(BENCH)/.ready: pyproject.toml $(CONSTRAINTS) constraints/bench.txt | $(BIN)/uv
	@test -x $(BENCH)/bin/python || $(BIN)/uv venv -q --python $(BIN)/python $(BENCH)
	VIRTUAL_ENV=$(BENCH) $(BIN)/uv pip install -q --compile-bytecode --constraint $(CONSTRAINTS) \
		--constraint constraints/bench.txt --editable '.[emulator]' --group dev --group bench
	@touch $@

$(DOCS)/.ready $(BUILD)/.ready $(MATRIX)/.ready: .venv-%/.ready: constraints/%.txt | $(BIN)/uv
	@test -x .venv-$*/bin/python || $(BIN)/uv venv -q --python $(BIN)/python .venv-$*
	VIRTUAL_ENV=.venv-$* $(BIN)/uv pip install -q --constraint constraints/$*.txt --group $*
	@touch $@

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Needed: Python 3.11 or newer with its venv module (on Debian: apt install python3-venv)." \
		"If it is not on PATH: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q --disable-pip-version-check 'uv>=0.8'
