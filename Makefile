# `make demo` and `make test` set up all they need; every command runs in environments of its own.

PYTHON ?= python3
VENV := .venv
PARITY := .venv-parity
BIN := $(VENV)/bin
PIP := -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test parity lint types check clean

help:
	@echo 'make demo    set up, then search, compare and label real text'
	@echo 'make test    set up, then run every test'
	@echo 'make check   lint, types and tests: what must pass before a change lands'
	@echo 'make clean   remove what the others made'

# What users install, and what runs the demo.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --constraint constraints.txt --editable .
	@touch $@

# The same with the tools of development.
$(VENV)/developing: $(VENV)/installed
	$(BIN)/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The packages that we compare with; they pin older versions of what both need.
$(PARITY)/installed: pyproject.toml constraints-parity.txt
	$(PYTHON) -m venv $(PARITY)
	$(PARITY)/bin/python $(PIP) --constraint constraints-parity.txt --editable '.[dev,parity]'
	@touch $@

demo: $(VENV)/installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(VENV)/developing parity
	$(BIN)/distilbert fetch minilm
	$(BIN)/python -m pytest --ignore tests/parity

parity: $(PARITY)/installed
	$(PARITY)/bin/distilbert fetch minilm
	$(PARITY)/bin/python -m pytest tests/parity

lint: $(VENV)/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/developing
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf $(VENV) $(PARITY) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
