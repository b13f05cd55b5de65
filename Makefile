# What a developer of a shop types, and what a developer of this repository types. See README.md.
.DEFAULT_GOAL := help
.PHONY: help demo dev test e2e bench build deploy install

# AWS SAM CLI and cargo-lambda, which it builds with, stay in a virtual environment of their own. So does
# MiniStack, the stand-in for AWS: its version of the AWS SDK excludes theirs.
SAM_VERSION := 1.170.0
CARGO_LAMBDA_VERSION := 1.9.2
MINISTACK_VERSION := 1.5.33
TRANSLATOR_VERSION := 1.115.0
SAM := .venv/bin/sam
MINISTACK := .venv-ministack/bin/ministack
ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: ## post every sample event, print who reads which sentence
	@scripts/require.sh build
	@cargo run --locked --quiet --package cli -- demo

dev: ## the whole installation on this machine, http://127.0.0.1:8787
	@scripts/require.sh build
	@cargo run --locked --quiet --package cli -- dev

test: $(SAM) ## everything that must hold: format, lints, tests, documentation, template
	@scripts/require.sh test
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace --quiet
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --log-level error check licenses bans sources; \
	else echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"; fi

e2e: $(SAM) $(MINISTACK) ## template.yaml and the binaries, deployed to a stand-in for AWS on this machine
	@scripts/require.sh e2e
	PATH="$(CURDIR)/.venv/bin:$$PATH" SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 \
	  $(SAM) build --parameter-overrides Architecture=$(ARCHITECTURE)
	cargo build --locked --quiet --package cli --package e2e
	cargo run --locked --quiet --package e2e

bench: $(SAM) ## start, warm events, memory, requests and a backlog of the release binaries, measured here
	@scripts/require.sh test
	PATH="$(CURDIR)/.venv/bin:$$PATH" cargo lambda build --release --package orders --package appointments --package leads --package forms --package emails --package custom --package callbell --package deliver --package renew --package reply --package bare
	cargo run --locked --quiet --package bench -- --counted bench/counted.json
	python3 scripts/cost.py > docs/cost.md

build: ## the Lambda functions' binaries, without packaging them
	@scripts/require.sh build
	cargo build --locked --release --package orders --package appointments --package leads --package forms --package emails --package custom --package callbell --package deliver --package renew --package reply

deploy: $(SAM) ## to AWS: build, deploy, push secrets and automations; asks what it needs once
	@scripts/require.sh build
	@cargo run --locked --quiet --package cli -- deploy

install: ## the command callbell, into cargo's own folder
	@scripts/require.sh build
	@# The profile that demo compiled with: a release build would take ten minutes more, and the embedded table,
	@# the one thing in it that works hard, is optimised anyway.
	@cargo install --locked --quiet --debug --force --path cli --root "$${CARGO_HOME:-$$HOME/.cargo}"
	@callbell --version | sed 's/$$/ installed/'

$(SAM): .venv/bin/cargo-lambda

.venv/bin/cargo-lambda:
	@scripts/require.sh test
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check aws-sam-cli==$(SAM_VERSION) cargo-lambda==$(CARGO_LAMBDA_VERSION)

$(MINISTACK):
	@scripts/require.sh e2e
	python3 -m venv .venv-ministack
	.venv-ministack/bin/pip install --quiet --disable-pip-version-check ministack==$(MINISTACK_VERSION) aws-sam-translator==$(TRANSLATOR_VERSION)
