# Two commands: `make run` and `make test`. They need nothing but Python 3.11 or newer (with venv) and make.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test simulate model lint bench bench-full bench-runtime bench-storage bench-instructions clean

run: $(VENV)/.run  ## Start the server and print the address to open.
	@$(BIN)/triologue serve

test: $(VENV)/.test  ## Run every test that this machine can run.
	$(BIN)/python -m pytest

SEEDS ?= 1000
simulate: $(VENV)/.test  ## Run the simulated server with many seeds.
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

model: $(VENV)/.model  ## Install the small language model (370 MB), and with it the test that talks to it.

lint: $(VENV)/.lint  ## What CI checks before the tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench  ## The server on the wire beside its peers, in a few minutes. Needs cc, and node for one of them.
	$(BIN)/python -m benchmarks.wire.run --short

bench-full: $(VENV)/.bench  ## The same with all that takes long, how cost grows, fairness, and pictures: half an hour.
	$(BIN)/python -m benchmarks.wire.run
	$(BIN)/python -m benchmarks.wire.growth
	$(BIN)/python -m benchmarks.wire.fairness
	$(BIN)/python -m benchmarks.wire.plots

bench-runtime: $(VENV)/.bench  ## Our runtime beside triotp and Pykka, five faults of triotp, what tracing costs and handling at once saves.
	$(BIN)/python -m benchmarks.runtime.peers
	$(BIN)/python -m benchmarks.runtime.faults
	$(BIN)/python -m benchmarks.runtime.run
	$(BIN)/python -m benchmarks.runtime.tracing_cost
	$(BIN)/python -m benchmarks.runtime.at_once

bench-storage: $(VENV)/.test  ## Messages committed per second, beside raw sqlite3.
	$(BIN)/python -m benchmarks.storage.run

bench-instructions: $(VENV)/.test  ## Instructions that a message costs, beside their budgets. Needs valgrind.
	$(BIN)/python -m benchmarks.instructions

clean:  ## Forget the environment.
	rm -rf $(VENV) benchmarks/wire/.build

# One environment, filled as far as the command needs. The stamps make a second run work offline.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[test,otel]'
	@touch $@ $(VENV)/.run

$(VENV)/.model: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[model]'
	@touch $@

$(VENV)/.lint: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[test,otel,lint]'
	@touch $@ $(VENV)/.run $(VENV)/.test

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[test,bench]'
	@touch $@ $(VENV)/.run
