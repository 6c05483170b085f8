# Two commands matter: `make demo` and `make test`. Each sets up all that it needs on a fresh machine.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup
CODE := analysis guardian simulator tests benchmarks

.PHONY: help demo test test-fast lint format campaign setup services lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## /  make \1\t/' | expand -t 20

demo: setup  ## watch four releases being judged: no broker, no cluster, under a minute
	@$(BIN)/guardian demo

test: setup services lint  ## everything CI runs: lint, all tests on the real services, a slice of each campaign
	@$(PYTEST)

test-fast: setup lint  ## what needs no services and no campaign slice
	@$(PYTEST) -m 'not service and not campaign'

lint: setup  ## style, types and import arrows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: setup  ## let ruff put things where the linter wants them
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

campaign: setup  ## NAME=x: one long run, resumable; writes benchmarks/results/x.json (NAME=list: the names)
	@$(BIN)/python -m benchmarks.campaign $(if $(NAME),$(NAME),list) $(ARGS)

setup:  ## .venv from constraints.txt; does nothing when it is up to date
	@.ci/setup

services: setup  ## the real services the tests run on: Kafka, Prometheus, Alertmanager, HAProxy, kube-apiserver
	@$(BIN)/python -m simulator.testing.services prepare

lock:  ## pin every package again from pyproject.toml (ARGS=--upgrade: to the newest); needs uv
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --quiet --output-file constraints.txt $(ARGS)

clean:  ## remove .venv, caches and the state of unfinished campaigns
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
