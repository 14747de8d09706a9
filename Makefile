# Each target for a project takes CONFIG=configs/NAME.yaml, and passes ARGS="…" to its command. CONFIG is one name, with any
# spaces, quotes or $ in it. The shell parses ARGS: ARGS="--set 'run_name=my run'".
CONFIG ?= configs/demo-cpu.yaml
ARGS ?=
PROJECT_FILE = '$(subst ','\'',$(value CONFIG))'
OPTIONS = $(value ARGS)

# The first interpreter from 3.10 to 3.12 that can make environments.
PYTHON ?= $(shell for name in python3 python3.12 python3.11 python3.10; do \
	$$name -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$name && break; done)

BIN := .venv/bin
ADAPTER := $(BIN)/erniekit-adapter
DEMO := runs/demo
TOOLKITS := erniekit erniekit13 transformers transformers5 paddleformers
TOOLKIT_REQUIREMENTS := erniekit_adapter/backends/requirements

.DEFAULT_GOAL := help
.PHONY: help setup setup-ocr setup-ray setup-erniekit setup-erniekit13 setup-transformers setup-transformers5 \
	setup-paddleformers data train export evaluate sweep check plan doctor demo test test-fast bench lint clean requirements tiny-base

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready-package ## make .venv with the package and the command erniekit-adapter
setup-ocr: .venv/.ready-ocr ## add an OCR engine to .venv, for pages without OCR (270 MB)
setup-ray: .venv/.ready-ray ## add Ray to .venv, for data.runner: ray
setup-erniekit: .venvs/erniekit/.ready ## ERNIEKit and PaddlePaddle on CPU, to train (2.8 GB)
setup-erniekit13: .venvs/erniekit13/.ready ## the incomplete ERNIEKit 1.3.0, for tests of its parser
setup-transformers: .venvs/transformers/.ready ## torch, transformers and PEFT, to check bundles
setup-transformers5: .venvs/transformers5/.ready ## transformers 5, for PaddleOCR-VL and models with experts
setup-paddleformers: .venvs/paddleformers/.ready ## PaddleFormers, the successor of ERNIEKit, on CPU

# A linked .venv belongs to another checkout: it is used, but never cleared or changed.
define own_environment
	@test ! -L .venv || { echo ".venv is a link to another checkout's environment: remove the link, or run make setup there"; exit 2; }
endef

.venv/.ready: requirements/project.txt
	$(own_environment)
	@test -n "$(PYTHON)" || { echo "no Python 3.10 to 3.12 with venv found: install one, or set PYTHON=…"; exit 2; }
	"$(PYTHON)" -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -r $<
	@touch $@

# The package itself, editable. Its requirements are installed already, so this works without a network.
.venv/.ready-package: pyproject.toml .venv/.ready
	$(own_environment)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

# Optional packages share .venv, in versions that agree with the others.
.venv/.ready-%: requirements/%.txt .venv/.ready
	$(own_environment)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -r $<
	@touch $@

.venvs/%/.ready: $(TOOLKIT_REQUIREMENTS)/%.txt | .venv/.ready-package
	$(ADAPTER) setup $*
	@touch $@

data: setup ## build training examples from documents
	$(ADAPTER) data build $(PROJECT_FILE) $(OPTIONS)

train: setup ## train an adapter with the toolkit
	$(ADAPTER) train $(PROJECT_FILE) $(OPTIONS)

export: setup ## write the bundle: native, peft, merged
	$(ADAPTER) export $(PROJECT_FILE) $(OPTIONS)

evaluate: setup ## compare the tuned model with the base model
	$(ADAPTER) evaluate $(PROJECT_FILE) $(OPTIONS)

sweep: CONFIG = configs/sweeps/learning-rate.yaml
sweep: setup ## compare several runs of one project
	$(ADAPTER) sweep $(PROJECT_FILE) $(OPTIONS)

check: setup ## report every problem of a project file
	$(ADAPTER) check $(PROJECT_FILE) $(OPTIONS)

plan: setup ## estimate memory, steps and time
	$(ADAPTER) plan $(PROJECT_FILE) $(OPTIONS)

doctor: setup ## check whether this machine is ready for the project
	$(ADAPTER) doctor $(PROJECT_FILE) $(OPTIONS)

demo: setup setup-erniekit setup-transformers ## every stage on CPU: documents, data, train, export, evaluate
	rm -rf $(DEMO)
	$(ADAPTER) data synthesize --output $(DEMO)/documents --count 420 --seed 7 --fault-share 0.1 --correction-share 0.2
	$(ADAPTER) data synthesize --output $(DEMO)/held-out --count 200 --seed 2011 --fault-share 0.1 --correction-share 0
	$(ADAPTER) data build configs/demo-cpu.yaml
	$(ADAPTER) train configs/demo-cpu.yaml $(OPTIONS)
	$(ADAPTER) export configs/demo-cpu.yaml
	$(ADAPTER) evaluate configs/demo-cpu.yaml
	$(ADAPTER) summary configs/demo-cpu.yaml

test: setup setup-ocr setup-ray $(TOOLKITS:%=setup-%) ## run every test, with the real toolkits
	$(BIN)/python -m pytest $(OPTIONS)

test-fast: setup ## run the tests without toolkits
	$(BIN)/python -m pytest -m "not slow" --ignore=tests/toolkit $(OPTIONS)

bench: setup setup-erniekit ## print the figures of the benchmarks
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/data.py --counts 10000 100000
	$(BIN)/python benchmarks/train_overhead.py $(OPTIONS)

lint: setup ## ruff, import-linter, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

tiny-base: setup setup-transformers ## pretrain the base model of the demo with torch (88 minutes on 2 cores)
	.venvs/transformers/bin/python -m tiny_base.pretrain --output build/tiny-base/first --minutes 50 $(OPTIONS)
	.venvs/transformers/bin/python -m tiny_base.pretrain --output build/tiny-base/second --minutes 38 --seed 1 --easy 0 \
		--continue-from build/tiny-base/first $(OPTIONS)
	$(BIN)/python -m tiny_base.convert --pretrained build/tiny-base/second

requirements: setup ## compile requirements/*.in to exact versions (needs uv)
	$(BIN)/python requirements/compile.py

clean: ## remove environments, runs and caches
	rm -rf .venv .venvs runs build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
