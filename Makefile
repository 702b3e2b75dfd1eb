# Everything sets itself up: a machine with Python 3.11 and make needs nothing else.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= auto

.PHONY: help setup run test check bench openapi chaos contracts kafka lock sbom clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: setup ## the whole city on this machine, port 8000 (PORT=… for another)
	@$(BIN)/jiesu up $(if $(PORT),--port $(PORT))

test: setup ## all tests, each process with a real PostgreSQL that comes with the set-up (WORKERS=0: in one)
	@$(BIN)/pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: setup ## speed, as ratios against baselines of the same run
	@$(BIN)/python -m tests.bench

chaos: setup ## an hour's worth of kills in minutes, on a real Kafka (Java, Maven); writes chaos-summary.json
	@$(BIN)/python -m tests.chaos

openapi: setup ## schemathesis against every service, along the links (EXAMPLES=… an operation, 1000 for evidence)
	@SCHEMATHESIS_EXAMPLES=$(or $(EXAMPLES),3) $(BIN)/pytest tests/e2e/test_openapi_holds.py

kafka: setup ## a real Kafka on loopback as a plain process (Java, Maven)
	@$(BIN)/python -m deploy.kafka.broker

contracts: setup ## record schemas and examples of new events, redraw the README's diagram
	@$(BIN)/python -m tests.contract.golden

setup: $(READY) ## the virtual environment, from requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (once, about half a minute) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

sbom: setup ## what this installation is made of (CycloneDX), as sbom.json
	@$(BIN)/cyclonedx-py environment --output-reproducible --of JSON -o sbom.json $(BIN)/python

clean: ## remove the virtual environment; the city's data in .jiesu stays
	rm -rf $(VENV)
