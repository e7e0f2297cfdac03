# The one entry: what a person types and what CI runs.

GANTRY = target/debug/gantry
RELEASE = target/release/gantry

# Properties draw the same cases each time, so that a commit passes or fails once and for all. Another number, and a larger
# PROPTEST_CASES, look further.
export PROPTEST_RNG_SEED ?= 20261125

.PHONY: help build release demo up down test lint unit conformance e2e sim bench fuzz

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

build: ## Build target/debug/gantry
	@scripts/need build
	cargo build --locked --package gantry

release: ## Build target/release/gantry
	@scripts/need build
	cargo build --locked --release --package gantry

demo: ## Start gantry, run a service behind a load balancer on it, and update it under load
	@scripts/need run
	cargo build --locked --package gantry
	@$(GANTRY) up --detach
	@$(GANTRY) demo

up: ## Start gantry in the background
	@scripts/need run
	cargo build --locked --package gantry
	@$(GANTRY) up --detach

down: ## Stop gantry and the tasks that it runs
	@$(GANTRY) down --tasks

test: lint unit conformance e2e ## Everything that CI runs

lint: ## Formatting and lints
	@scripts/need test
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

unit: ## Unit, scenario, property, in-process and real-container tests (as root)
	@scripts/need test
	cargo test --locked --workspace

conformance: ## boto3 and the aws CLI against gantry with simulated nodes
	@scripts/need test
	cargo build --locked --package gantry
	target/venv/bin/python -m pytest -q -c tests/pytest.ini tests/conformance

e2e: ## Real tasks in real containers, the demo and the README's tour (as root)
	@scripts/need test
	cargo build --locked --package gantry
	target/venv/bin/python -m pytest -q -c tests/pytest.ini tests/e2e

sim: ## Thousands of simulated runs of the whole system, and the faults planted to be found
	@scripts/need build
	cargo xtask sim --seeds 0..5000
	cargo xtask sim --planted

bench: ## Print the figures of docs/performance.md, each against its peer (as root)
	@scripts/need bench
	cargo build --locked --release --package gantry
	$(RELEASE) bench all

fuzz: ## A minute of fuzzing for each decoder of outside bytes
	@scripts/need fuzz
	fuzz/run
