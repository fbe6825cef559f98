# The suite's commands. Each does its own set-up first: a fresh machine needs only Python >= 3.11, git and make.
# Everything behind them is `python -m suite_local` (deploy/local).

PYTHON3 ?= python3
SUITE = .venv/bin/python -m suite_local
export PYTHONUNBUFFERED = 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run demo up down status test bench bench-quick chaos cluster images sbom backup restore lint format lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv, install what the suite needs; quick when done
	@$(PYTHON3) deploy/local/bootstrap.py

setup-test:
	@$(PYTHON3) deploy/local/bootstrap.py --test

run: setup ## everything up, one order through its whole life, stays until Ctrl-C
	@$(SUITE) run

demo: setup ## the same, then everything down; exit 0 only if every step was seen
	@$(SUITE) demo

up: setup ## the suite in the background; returns when every /readyz is 200
	@$(SUITE) up

down: ## stop the suite, keep its data
	@if [ -x .venv/bin/python ]; then $(SUITE) down; fi

status: setup ## what runs where, and whether it is ready
	@$(SUITE) status

backup: setup ## save the running suite in a new folder: TO=folder, FOLLOW=1 keeps what is written after it, until Ctrl-C
	@$(SUITE) backup "$(TO)" $(if $(FOLLOW),--follow)

restore: setup ## bring a backup in: FROM=folder, SURVIVORS=.run of the suite that was lost, REPLACE=1 sets aside what is here
	@$(SUITE) restore "$(FROM)" $(if $(SURVIVORS),--survivors "$(SURVIVORS)") $(if $(REPLACE),--replace)

test: setup-test ## everything CI needs; starts and stops what it needs by itself
	@$(SUITE) test

bench: setup ## the benchmarks: one line of JSON per figure, and a table; BENCH_BASE=<checkout> compares
	@$(SUITE) bench

bench-quick: setup ## what a change is likely to hurt, under five minutes; BENCH_BASE=<checkout> runs beside it
	@$(SUITE) bench-quick

chaos: setup-test ## the fault tests
	@$(SUITE) chaos

cluster: setup-test ## the proofs on three brokers, of RabbitMQ 3 and 4, and a pair of databases (as root)
	@$(SUITE) cluster

images: setup ## every image built, and the demo order played through them
	@$(SUITE) images

sbom: setup ## a bill of materials (CycloneDX) of each image's Python packages, in .run/sbom
	@$(SUITE) sbom

lint: setup ## ruff, mypy, import contracts, declared dependencies and what is known against them, docstrings
	@$(SUITE) lint

format: setup ## put the code into its usual shape
	@$(SUITE) format

lock: setup ## requirements.in -> requirements.lock
	@$(SUITE) lock
