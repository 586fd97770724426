# Everything a newcomer needs: make demo, make test. Both make their own .venv first.
PYTHON ?= python3
# Extra pip arguments for torch alone, e.g. TORCH_ARGS="--index-url URL-OF-CPU-WHEELS"
TORCH_ARGS ?=
BIN := .venv/bin

.PHONY: install demo test chaos bench lint clean

install: .venv/.core

.venv/.core: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hardset needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt $(TORCH_ARGS) torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.dev: .venv/.core
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/hardset demo

test: .venv/.dev
	$(BIN)/pytest -m "not chaos and not slow"

chaos: .venv/.dev
	$(BIN)/pytest -m "chaos or slow"

bench: .venv/.dev
	$(BIN)/python -m benchmarks.png_writer
	$(BIN)/python -m benchmarks.end_to_end

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv demo
