# Every target sets up what it needs: a virtual environment in .venv with the versions of constraints/.
# Needed beforehand: Python 3.11 or newer (its venv module included), git, make.

# The first Python on PATH that is new enough and can make virtual environments; name another with make PYTHON=…
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
VENV := .venv
CONSTRAINTS := constraints/airflow-3.3.txt
READY := $(VENV)/.ready
BIN := $(VENV)/bin

# uv verifies against the system's trust store, as pip and git do, so that a company's own CA works.
export UV_SYSTEM_CERTS := 1
export UV_NO_PROGRESS := 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-ui test test-fast lint types check kills bench-latency live constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Run the example DAG on a real Airflow against the emulator; ends by itself
	$(BIN)/python -m scripts.demo

demo-ui: $(READY) ## The same, then keep Airflow's web UI open until Ctrl-C
	$(BIN)/python -m scripts.demo --ui

test: $(READY) ## Run the tests, those on a real Airflow included
	$(BIN)/python -m pytest -m "not kills"

test-fast: $(READY) ## Run the tests that need no Airflow processes
	$(BIN)/python -m pytest -m "not e2e"

lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types
	$(BIN)/mypy

check: lint types test ## Everything that CI checks

kills: $(READY) ## Kill tasks, workers and triggerers at every point of a submission; print what became of it
	$(BIN)/python -m scripts.kills

bench-latency: $(READY) ## Measure how long after COMPLETED a task has ended, for each way through Airflow
	$(BIN)/python -m benchmarks.latency

live: $(READY) ## Try the provider against the real service, with credentials of yours (see CONTRIBUTING.md)
	$(BIN)/python -m scripts.live

constraints: $(READY) ## Renew the pinned versions
	$(BIN)/uv pip compile pyproject.toml --extra emulator --group dev --universal --python-version 3.11 \
		--no-annotate --no-header --upgrade --output-file $(CONSTRAINTS)

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

$(READY): pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "Needed: Python 3.11 or newer with its venv module (on Debian: apt install python3-venv)." \
		"If it is not on PATH: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/uv || { echo "Setting up $(VENV)"; $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q --disable-pip-version-check 'uv>=0.8'; }
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --compile-bytecode --constraint $(CONSTRAINTS) --editable '.[emulator]' --group dev
	@touch $@
