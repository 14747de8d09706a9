# Every target takes CONFIG=configs/NAME.yaml and passes ARGS="…" on to the command behind it. CONFIG is one name, whatever
# blanks, quotes or $ are in it; ARGS is read by the shell: ARGS="--set 'run_name=my run'".
CONFIG ?= configs/demo-cpu.yaml
ARGS ?=
PROJECT_FILE = '$(subst ','\'',$(value CONFIG))'
OPTIONS = $(value ARGS)

# The first interpreter from 3.10 to 3.12 that can make environments.
PYTHON ?= $(shell for name in python3 python3.12 python3.11 python3.10; do \
	$$name -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$name && break; done)

BIN := .venv/bin
ADAPTER := $(BIN)/python -m erniekit_adapter
DATA := $(BIN)/python -m data_tools
DEMO := runs/demo
TOOLKITS := erniekit erniekit13 transformers transformers5 paddleformers

.DEFAULT_GOAL := help
.PHONY: help setup setup-ocr setup-ray setup-erniekit setup-erniekit13 setup-transformers setup-transformers5 \
	setup-paddleformers data train export evaluate sweep check plan doctor demo test test-fast bench lint clean requirements tiny-base

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv with the project's own packages
setup-ocr: .venv/.ready-ocr ## add an OCR engine to .venv, for pages that came without (270 MB)
setup-ray: .venv/.ready-ray ## add Ray to .venv, for data.engine: ray
setup-erniekit: .venvs/erniekit/.ready ## make .venvs/erniekit: ERNIEKit and PaddlePaddle on CPU (2.6 GB)
setup-erniekit13: .venvs/erniekit13/.ready ## make .venvs/erniekit13: the incomplete 1.3.0, whose parser tests ask
setup-transformers: .venvs/transformers/.ready ## make .venvs/transformers: torch and PEFT, which read a bundle for its proof
setup-transformers5: .venvs/transformers5/.ready ## make .venvs/transformers5: the next transformers, for PaddleOCR-VL and experts
setup-paddleformers: .venvs/paddleformers/.ready ## make .venvs/paddleformers: ERNIEKit's successor on CPU

.venv/.ready: requirements/project.txt
	$(call environment,.venv,requirements/project.txt)

# What only some need goes beside the project's packages, in versions that agree with theirs.
.venv/.ready-%: requirements/%.txt .venv/.ready
	.venv/bin/python -m pip install --disable-pip-version-check --progress-bar on -r $<
	@touch $@

.venvs/%/.ready: requirements/%.txt
	$(call environment,.venvs/$*,requirements/$*.txt)

define environment
	@test -n "$(PYTHON)" || { echo "no Python 3.10 to 3.12 with venv found: install one, or set PYTHON=…"; exit 2; }
	"$(PYTHON)" -m venv --clear $(1)
	$(1)/bin/python -m pip install --disable-pip-version-check --progress-bar on -r $(2)
	@touch $(1)/.ready
endef

data: setup ## documents to training lines
	$(DATA) build --project $(PROJECT_FILE) $(OPTIONS)

train: setup ## lines to an adapter, with erniekit train
	$(ADAPTER) train $(PROJECT_FILE) $(OPTIONS)

export: setup ## an adapter to a bundle: native, peft, merged
	$(ADAPTER) export $(PROJECT_FILE) $(OPTIONS)

evaluate: setup ## is the tuned model better, on what, how sure
	$(ADAPTER) evaluate $(PROJECT_FILE) $(OPTIONS)

sweep: CONFIG = configs/sweeps/learning-rate.yaml
sweep: setup ## several runs of one project, held against each other
	$(ADAPTER) sweep $(PROJECT_FILE) $(OPTIONS)

check: setup ## say everything that is wrong with a project file
	$(ADAPTER) check $(PROJECT_FILE) $(OPTIONS)

plan: setup ## memory and steps, before a device is taken
	$(ADAPTER) plan $(PROJECT_FILE) $(OPTIONS)

doctor: setup ## is this machine ready for the project
	$(ADAPTER) doctor $(PROJECT_FILE) $(OPTIONS)

demo: setup setup-erniekit setup-transformers ## the whole way on CPU: documents, data, train, export, evaluate
	rm -rf $(DEMO)
	$(DATA) synthesize --output $(DEMO)/documents --count 420 --seed 7 --fault-share 0.1 --correction-share 0.2
	$(DATA) synthesize --output $(DEMO)/held-out --count 200 --seed 2011 --fault-share 0.1 --correction-share 0
	$(DATA) build --project configs/demo-cpu.yaml
	$(ADAPTER) train configs/demo-cpu.yaml $(OPTIONS)
	$(ADAPTER) export configs/demo-cpu.yaml
	$(ADAPTER) evaluate configs/demo-cpu.yaml
	$(ADAPTER) summary configs/demo-cpu.yaml

test: setup setup-ocr setup-ray $(TOOLKITS:%=setup-%) ## every test, those with the real toolkits included
	$(BIN)/python -m pytest $(OPTIONS)

test-fast: setup ## the tests without toolkits, for daily work
	$(BIN)/python -m pytest -m "not slow" --ignore=tests/toolkit $(OPTIONS)

bench: setup setup-erniekit ## print the benchmarks' figures
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/data.py --counts 10000 100000
	$(BIN)/python benchmarks/train_overhead.py $(OPTIONS)

lint: setup ## ruff, import-linter, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

tiny-base: setup setup-transformers ## pretrain the demo's base model anew, with torch (88 minutes on 2 cores)
	.venvs/transformers/bin/python -m tiny_base.pretrain --output build/tiny-base/first --minutes 50 $(OPTIONS)
	.venvs/transformers/bin/python -m tiny_base.pretrain --output build/tiny-base/second --minutes 38 --seed 1 --easy 0 \
		--go-on-from build/tiny-base/first $(OPTIONS)
	$(BIN)/python -m tiny_base.convert --pretrained build/tiny-base/second

requirements: setup ## compile requirements/*.in to exact versions (needs uv)
	$(BIN)/python requirements/compile.py

clean: ## remove environments, runs and caches
	rm -rf .venv .venvs runs build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
