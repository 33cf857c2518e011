# Everything that people and machines do with the project. `make` alone lists it.
SHELL := /bin/sh
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
SIDE_BY_SIDE := tests/faults tests/unit tests/architecture tests/integration tests/e2e
ALONE := tests/dags tests/alive
STRICT := $(if $(HUB_CI),--no-missing-tools,)

.DEFAULT_GOAL := help
.PHONY: help setup init demo test test-unit test-integration test-faults test-e2e test-dags test-alive lint format coverage lock diagram clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## set everything up: environment, packages, keys, database (PYTHON=... names a Python 3.11 to 3.13)
	@PYTHON="$(PYTHON)" scripts/setup.sh

init: setup  ## make keys and database under HUB_HOME, where they are missing
	$(BIN)/hub init

demo: setup  ## the whole hub, with partners' real drops and an account of them (EXIT=1: stop afterwards)
	$(BIN)/hub demo $(if $(EXIT),--exit)

test: setup lint  ## run all tests with coverage, and lint
	$(PYTEST) $(STRICT) $(SIDE_BY_SIDE) -n 2 --dist loadfile --cov --cov-report=
	$(PYTEST) $(STRICT) $(ALONE) --cov --cov-append --cov-report=term:skip-covered --cov-fail-under=85

test-unit: setup  ## run the fast tests: no database, no network
	$(PYTEST) $(STRICT) tests/unit -m "not slow" -n 2

test-integration: setup  ## run the tests on a real PostgreSQL
	$(PYTEST) $(STRICT) tests/integration

test-faults: setup  ## kill the hub at every point at which it writes
	$(PYTEST) $(STRICT) tests/faults

test-e2e: setup  ## run the whole way through the command line
	$(PYTEST) $(STRICT) tests/e2e

test-dags: setup  ## run the tests of Airflow's side
	$(PYTEST) $(STRICT) tests/dags

test-alive: setup  ## run the tests of the whole hub (KILLS=5: kill each part so often; FILES=500: drop so many)
	$(if $(KILLS),HUB_TEST_KILLS=$(KILLS)) $(if $(FILES),HUB_TEST_FILES=$(FILES)) $(PYTEST) $(STRICT) tests/alive

lint: setup  ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## bring the code into its usual form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: setup  ## run all tests and write htmlcov/
	$(PYTEST) $(STRICT) --cov --cov-report=term-missing --cov-report=html

lock: setup  ## resolve requirements.lock anew (names, versions, hashes; no address)
	printf 'setuptools>=77\nuv\n' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
		--all-extras --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--output-file requirements.lock pyproject.toml -

diagram: setup  ## draw docs/submission-states.md from hub/states.py
	$(BIN)/python scripts/draw_states.py

clean:  ## remove the environment and all caches, never HUB_HOME
	rm -rf .venv build htmlcov *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache
	find . -name __pycache__ -type d -not -path './.hub/*' -prune -exec rm -rf {} +
