# Everything starts from a plain Python 3.11 or newer: each target first makes .venv if need be.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help setup demo test test-quick lint types check benchmark matrix clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "maskwright needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all]' --group dev
	@touch $@

setup: $(INSTALLED)  ## make .venv with everything in it

demo: $(INSTALLED)  ## train, score and draw on pictures that come along (a few minutes)
	$(BIN)/maskwright demo

test: $(INSTALLED)  ## run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

test-quick: $(INSTALLED)  ## run the tests that take seconds
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m 'not slow'

lint: $(INSTALLED)  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## check types
	$(BIN)/mypy

check: lint types test  ## all three

benchmark: $(INSTALLED)  ## measure masks against torchvision and pycocotools
	$(BIN)/python benchmarks/masks.py

matrix: $(INSTALLED)  ## train every detector under every mask head (under an hour)
	$(BIN)/python benchmarks/matrix.py

clean:  ## remove what was built
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache
