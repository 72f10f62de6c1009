# One command for each thing one does here. Every target that needs `.venv` makes it first.
# ARGS goes to the program behind a target:  make test ARGS="-x -k journal"

PYTHON ?= python3
ARGS ?=

VENV_PYTHON := .venv/bin/python
SAMPLE := configs/sample_experiment.yaml
PIN_GROUPS := --extra all --extra pytest --group build --group test --group check
PEERS := benchmarks/peers
CLIENTS ?= python typescript frameworks instructor llm agents typescript-agents
NEWEST ?=
ASYNC_RULES := ASYNC102,ASYNC111,ASYNC113,ASYNC120,ASYNC121,ASYNC122

# Runs a script with the first Python that is new enough.
define with_python
for python in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			exec "$$python" $(1); \
		fi; \
	done; \
	echo "No Python 3.11 or newer was found as $(PYTHON), python3 or python3.11 to python3.14." >&2; \
	echo "Install one, or say where it is: make PYTHON=/path/to/python3" >&2; \
	exit 1
endef

.DEFAULT_GOAL := help
.PHONY: help setup setup-run run test test-long test-clients clients browser ray every-eval check format pins bench bench-peers docs shapes clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv with everything, or do nothing when it is up to date
	@if { pwd -P; cat requirements.txt pyproject.toml; } | cmp -s - .venv/.made-from && $(VENV_PYTHON) -c ''; then \
		exit 0; \
	fi; \
	$(call with_python,.ci/environment.py all)

setup-run: # make .venv with what a run needs and no more, unless everything is there
	@if { pwd -P; cat requirements.txt pyproject.toml; } | cmp -s - .venv/.made-from && $(VENV_PYTHON) -c ''; then \
		exit 0; \
	fi; \
	$(call with_python,.ci/environment.py run)

run: setup-run ## run the sample in mock mode, whatever keys are set, and show its table
	@$(VENV_PYTHON) -m profiler run --config $(SAMPLE) --output-dir runs --mode mock --fresh $(ARGS)
	@$(VENV_PYTHON) -m profiler summarize --log-dir runs/demo_run
	@echo "Nothing is installed outside of .venv: here, profiler is $(VENV_PYTHON) -m profiler."

test: setup ## run the tests, four at a time, for many of them wait; ARGS="-m 'not slow'" leaves the slow ones out, test-long adds the long ones
	$(VENV_PYTHON) -m pytest --numprocesses 4 --dist worksteal $(ARGS)

test-long: setup ## run the tests that grade whole corpora and many episodes too, for minutes
	$(VENV_PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal --long -m long $(ARGS)

test-clients: clients ## ask the mock server with clients that others wrote; NEWEST=1 takes their newest versions
	CLIENTS="$(CLIENTS)" NEWEST="$(NEWEST)" $(VENV_PYTHON) -m pytest -q tests/clients $(ARGS)

clients: setup ## make the environments of those clients; CLIENTS="python typescript" makes these two alone
	NEWEST="$(NEWEST)" $(VENV_PYTHON) -m tests.clients.environments $(CLIENTS)

check: setup ## format, lint, types, async rules and import layers, without changing a file
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy
	find profiler task_kit grader -name '*.py' -exec $(VENV_PYTHON) -m flake8_async --anyio --enable=$(ASYNC_RULES) {} +
	$(VENV_PYTHON) -m pytest -q tests/test_layers.py

format: setup ## write the format and the fixes that ruff is sure of
	$(VENV_PYTHON) -m ruff check --fix .
	$(VENV_PYTHON) -m ruff format .

pins: setup ## write the pins of this project and of the peers; ARGS=--upgrade moves every pin to its newest version
	@set -e; uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
		scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
		$(VENV_PYTHON) -m venv "$$scratch"; \
		"$$scratch/bin/python" -m pip install --quiet --disable-pip-version-check uv; \
		uv="$$scratch/bin/uv"; \
	fi; \
	pin() { \
		"$$uv" pip compile "$$@" --quiet --no-config --universal --python-version 3.11 \
			--generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make pins" $(ARGS); \
	}; \
	pin pyproject.toml $(PIN_GROUPS) --output-file requirements.txt; \
	pin pyproject.toml --constraint requirements.txt --output-file requirements-run.txt; \
	pin $(PEERS)/requirements.in --output-file $(PEERS)/requirements.txt; \
	pin pyproject.toml --extra ray --constraint requirements.txt --output-file tests/ray/requirements.txt; \
	for client in python frameworks instructor llm agents; do \
		pin tests/clients/$$client/requirements.in --output-file tests/clients/$$client/requirements.txt; \
	done; \
	if command -v npm >/dev/null; then \
		for client in typescript typescript-agents; do \
			npm install --prefix tests/clients/$$client --package-lock-only --omit-lockfile-registry-resolved=true --no-audit --no-fund; \
		done; \
	fi
	@echo "requirements.txt and requirements-run.txt are written; the next make installs it. \`make bench-peers\` installs those of the peers."

browser: setup ## install what the tests of reports need: Chromium where you are root and have none, and axe-core
	$(VENV_PYTHON) -m tests.browser.prepare

every-eval: setup ## install what the test of the export to Every Eval Ever needs: its own validator
	$(VENV_PYTHON) -m tests.every_eval.validator

ray: setup ## make .venv-ray, in which the tests of runs on a Ray cluster start one
	@cmp -s tests/ray/requirements.txt .venv-ray/.made-from || { set -e; \
		rm -rf .venv-ray; \
		$(VENV_PYTHON) -m venv .venv-ray; \
		.venv-ray/bin/python -m pip install -qq --disable-pip-version-check --no-input \
			--require-hashes -r tests/ray/requirements.txt; \
		cp tests/ray/requirements.txt .venv-ray/.made-from; \
	}

bench: setup ## measure throughput, memory and start-up
	$(VENV_PYTHON) -m benchmarks $(ARGS)

bench-peers: setup ## make .venv-peers: the programs that `make bench` compares the engine with
	@cmp -s $(PEERS)/requirements.txt .venv-peers/.made-from || { set -e; \
		rm -rf .venv-peers; \
		$(VENV_PYTHON) -m venv .venv-peers; \
		.venv-peers/bin/python -m pip install -qq --disable-pip-version-check --no-input \
			--require-hashes -r $(PEERS)/requirements.txt; \
		cp $(PEERS)/requirements.txt .venv-peers/.made-from; \
	}

docs: setup ## write docs/cli.md anew from --help
	$(VENV_PYTHON) tests/regenerate.py

shapes: setup ## write the table of requests that the provider takes anew, from the installed SDK
	$(VENV_PYTHON) -m tests.profiler.core.sdk_walk

clean: ## remove the environment and all caches; runs/ stays, it may hold answers that were paid for
	rm -rf .venv .venv.lock .venv-peers .venv-clients .venv-clients-newest .venv-browser .venv-ray .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist
	find profiler task_kit grader benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
