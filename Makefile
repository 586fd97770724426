# Everything a newcomer needs: make demo, make test. Both make their own .venv first.
PYTHON ?= python3
# Extra pip arguments for torch alone, e.g. TORCH_ARGS="--index-url URL-OF-CPU-WHEELS"
TORCH_ARGS ?=
BIN := .venv/bin

.PHONY: install demo docs site dist test slow accessible mlflow chaos foreign mutants bench bench-attacks bench-peers gpu gpu-wheels lint clean

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
	$(BIN)/pytest -m "not chaos and not slow and not foreign" --numprocesses 2 --dist loadfile

slow: .venv/.dev
	$(BIN)/pytest -m slow

# An environment of its own for axe-core alone, which the wheel carries as one script; Chromium must be installed.
.venv-axe/axe_playwright_python/axe.min.js: .venv/.dev
	$(BIN)/pip install --quiet --no-deps --target .venv-axe axe-playwright-python==0.1.8

# Every report in a browser, as loaded, opened and enlarged, on screens wide and narrow, light and dark: axe-core finds nothing.
accessible: .venv-axe/axe_playwright_python/axe.min.js
	AXE_CORE=$(CURDIR)/$< $(BIN)/pytest tests/reporting/test_accessible.py

.venv-mlflow/.mlflow: pyproject.toml
	test -x .venv-mlflow/bin/python || $(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/pip install --quiet $(TORCH_ARGS) torch
	.venv-mlflow/bin/pip install --quiet --editable '.[mlflow,evaluate]' 'mlflow>=3' pytest pytest-timeout hypothesis duckdb
	touch $@

# With a real MLflow server, which the tests start on this machine and stop again.
mlflow: .venv-mlflow/.mlflow
	.venv-mlflow/bin/python -m pytest tests/jobs/test_mlflow.py -m foreign

# Again with the same faults at the same moments, as far as timing allows: make chaos HARDSET_CHAOS_SEED=...
chaos: .venv/.dev
	HARDSET_CHAOS_REPORT=docs/benchmarks/chaos.json $(BIN)/pytest tests/chaos -m chaos --numprocesses 2 --dist loadfile
	$(BIN)/python -m tests.chaos.page

.venv/.mutants: .venv/.dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	touch $@

# Hours in all; goes on where it stopped: make mutants MUTANTS_ARGS="--minutes 30"
mutants: .venv/.mutants
	$(BIN)/python -m benchmarks.mutants $(MUTANTS_ARGS)

bench: .venv/.dev
	$(BIN)/python -m benchmarks.writer
	$(BIN)/python -m benchmarks.end_to_end
	$(BIN)/python -m benchmarks.verify
	$(BIN)/python -m benchmarks.loader
	$(BIN)/python -m benchmarks.scheduler
	$(BIN)/python -m benchmarks.makespan
	$(BIN)/python -m benchmarks.start

# An environment of its own: what the libraries pin does not go together with the tests' dependencies. pip before 25.3
# takes the constraints of a build from the first variable, later ones from the second.
BENCH_CONSTRAINT := $(CURDIR)/benchmarks/attacks/constraints.txt
BENCH_PIP := PIP_CONSTRAINT=$(BENCH_CONSTRAINT) PIP_BUILD_CONSTRAINT=$(BENCH_CONSTRAINT) .venv-bench/bin/pip

.venv-bench/.bench: pyproject.toml $(BENCH_CONSTRAINT)
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	$(BENCH_PIP) install --quiet $(TORCH_ARGS) torch torchvision
	$(BENCH_PIP) install --quiet --editable '.[bench]'
	touch $@

# Further settings: make bench-attacks BENCH_ARGS="--only speed"
bench-attacks: .venv-bench/.bench
	.venv-bench/bin/python -m benchmarks.attacks $(BENCH_ARGS)

# Whole pipelines of others, on real rows: make bench-peers PEERS_ARGS="--data FOLDER --rounds 3"
bench-peers: .venv-bench/.bench
	$(BENCH_PIP) install --quiet albumentations==2.0.8
	.venv-bench/bin/python -m benchmarks.peers $(PEERS_ARGS)

.venv-foreign/.foreign: pyproject.toml $(BENCH_CONSTRAINT)
	test -x .venv-foreign/bin/python || $(PYTHON) -m venv .venv-foreign
	$(subst .venv-bench,.venv-foreign,$(BENCH_PIP)) install --quiet $(TORCH_ARGS) torch torchvision
	$(subst .venv-bench,.venv-foreign,$(BENCH_PIP)) install --quiet --editable '.[bench,onnx,timm,tensorflow]' pytest pytest-timeout hypothesis
	touch $@

# With the real libraries: attacks of ART, torchattacks, foolbox and adv-lib as recipes, networks of timm and torchvision, and ONNX
# files, TensorFlow's too, made torch networks.
foreign: .venv-foreign/.foreign
	.venv-foreign/bin/python -m pytest tests/foreign -m foreign
	.venv-foreign/bin/python -m pytest tests/models/test_onnx.py
	.venv-foreign/bin/python -m pytest tests/models/test_published.py -k onnx

# The tables that the code knows best, written into the pages of docs/.
docs: install
	$(BIN)/python -m docs.tables

# The pages as a site in site/, in an environment of its own; a link that leads nowhere fails.
.venv-site/.site: Makefile
	test -x .venv-site/bin/python || $(PYTHON) -m venv .venv-site
	.venv-site/bin/pip install --quiet 'mkdocs-material>=9.6,<10'
	touch $@

site: .venv-site/.site docs
	NO_MKDOCS_2_WARNING=1 .venv-site/bin/mkdocs build --strict

# Wheel and sdist in dist/, checked as an index checks them, and the wheel installed with all it needs where nothing is.
.venv-dist/.dist: Makefile
	test -x .venv-dist/bin/python || $(PYTHON) -m venv .venv-dist
	.venv-dist/bin/pip install --quiet 'build>=1.2' 'twine>=6'
	touch $@

dist: .venv-dist/.dist
	rm -rf dist .venv-empty
	.venv-dist/bin/python -m build --outdir dist .
	.venv-dist/bin/twine check --strict dist/*
	$(PYTHON) -m venv .venv-empty
	.venv-empty/bin/pip install --quiet --constraint constraints.txt $(TORCH_ARGS) torch
	.venv-empty/bin/pip install --quiet --constraint constraints.txt dist/*.whl
	cd dist && ../.venv-empty/bin/hardset --version && ../.venv-empty/bin/hardset schema > /dev/null
	rm -rf .venv-empty

# On a machine with a CUDA device, with the Python that holds its torch: make gpu GPU_BIN=python3. See docs/gpu.md.
# On any other: make gpu ARGS="--device cpu --tiny"
GPU_BIN ?= $(BIN)/python
gpu: $(if $(filter $(BIN)/python,$(GPU_BIN)),.venv/.dev)
	$(GPU_BIN) -m benchmarks.gpu $(ARGS)

# Wheels to carry to a machine without a network: make gpu-wheels GPU_PYTHON="3.12 3.13" GPU_WHEELS="kornia ..."
GPU_PYTHON ?= 3.12
GPU_WHEELS ?=
gpu-wheels: .venv/.dev
	$(BIN)/python -m benchmarks.gpu.wheels $(addprefix --python ,$(GPU_PYTHON)) $(GPU_WHEELS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .venv-axe .venv-bench .venv-mlflow .venv-foreign .venv-site .venv-dist .venv-empty dist site wheels demo
