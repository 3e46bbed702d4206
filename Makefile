# Leukoscope: a person needs Python 3.11 or newer, git and make; everything else goes into .venv.
#
#   make demo                  the whole way once, on synthetic cells
#   make demo DATA=FOLDER      the same on cells of yours
#   make test                  format, lint, types, import contracts, tests: what must hold before a change lands
#   make test-all              the same with the slow tests
#   make format                put code into the project's format
#   make setup                 only .venv
#   make bench                 how fast all of it is, into benchmarks/RESULTS.md: hours, on a machine that does nothing else
#   make lock                  pin the newest versions that pyproject.toml allows

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS ?=
KERAS := benchmarks/keras/.venv
RESNET50 := build/resnet50

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check format lock bench bench-resnet50

help:
	@sed -n 's/^#   //p' Makefile

setup: $(READY)

# The package itself is installed last and without isolation, so that its build tool comes from the lock, too.
$(READY): requirements.lock bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: expected Python 3.11 or newer, '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)"; \
	  echo "hint: install one and name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@echo "making $(VENV): about 3 GB to download on Linux the first time, mostly PyTorch"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bootstrap.lock
	$(BIN)/python -m uv pip install --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/python -m uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)
	$(BIN)/leukoscope demo $(if $(DATA),--data "$(DATA)")

test: check
	$(BIN)/python -m pytest -q $(TESTS)

test-all: check
	$(BIN)/python -m pytest -q -m "" $(TESTS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(READY)
	$(BIN)/python -m uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-find-links \
	  --no-emit-index-url --extra train --extra explain --extra adapters --extra openvino --extra int8 \
	  --extra scale --extra serve --extra postgres --extra mlflow --extra dev pyproject.toml -o requirements.lock
	echo uv | $(BIN)/python -m uv pip compile --quiet --upgrade --universal --generate-hashes \
	  --no-emit-find-links --no-emit-index-url --no-header --no-annotate - -o bootstrap.lock
	$(BIN)/python -m uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-find-links \
	  --no-emit-index-url benchmarks/keras/requirements.in -o benchmarks/keras/requirements.lock

# The documents' way, in an environment of its own: about 0.4 GB to download, 1.6 GB on disk.
$(KERAS)/.ready: $(READY) benchmarks/keras/requirements.lock
	$(PYTHON) -m venv $(KERAS)
	$(BIN)/python -m uv pip install --python $(KERAS)/bin/python --require-hashes -r benchmarks/keras/requirements.lock
	@touch $(KERAS)/.ready

bench: $(READY) $(KERAS)/.ready
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/predict.py --backend openvino
	$(BIN)/python benchmarks/predict.py --many 1000 1000000
	$(BIN)/python benchmarks/backends.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/peers.py start
	$(if $(LEUKOSCOPE_REAL_DATA),$(MAKE) bench-resnet50)
	$(BIN)/python benchmarks/train.py ratio
	$(BIN)/python benchmarks/train.py peers
	$(BIN)/python benchmarks/train.py variants
	$(BIN)/python benchmarks/train.py memory
	$(if $(shell command -v nvidia-smi),$(BIN)/python benchmarks/train_gpu.py)
	$(BIN)/python benchmarks/explain.py
	$(BIN)/python benchmarks/review.py load
	$(BIN)/python benchmarks/review.py upload
	$(BIN)/python benchmarks/review.py memory
	$(BIN)/python benchmarks/page.py

# A part of bench, where LEUKOSCOPE_REAL_DATA names real cells: the network is trained on them first, ten minutes.
bench-resnet50: $(READY) $(KERAS)/.ready
	$(BIN)/python benchmarks/train_resnet50.py $(RESNET50)
	rm -rf $(RESNET50)/int8.leuko
	$(BIN)/leukoscope export $(RESNET50)/run -o $(RESNET50)/int8.leuko --int8 --calibration-data $(RESNET50)/split.parquet
	$(BIN)/python benchmarks/int8.py $(RESNET50)/run/model.leuko $(RESNET50)/int8.leuko --cells $(RESNET50)/split.parquet
	$(BIN)/python benchmarks/peers.py throughput $(RESNET50)/run/model.leuko --int8 $(RESNET50)/int8.leuko \
	  --cells "$(LEUKOSCOPE_REAL_DATA)"
