# make demo, make test and make lint need Python 3.11+ and make; everything else is installed into .venv from hashed locks.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# What was installed by hand must not leak into the project's environment.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV CONDA_PREFIX UV_PROJECT_ENVIRONMENT
export PYTHONNOUSERSITE := 1
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help demo test lint format lock engines engines-image engines-bench release-local bench clean docs

help:
	@echo 'make demo     train a LoRA on real photographs, in about two minutes'
	@echo 'make test     the tests that need no engine'
	@echo 'make lint     ruff, mypy, import-linter'
	@echo 'make engines  the tests against real servers: S3, Orca, Pulumi, Kubernetes, PostgreSQL, Chromium (40 minutes)'
	@echo 'make engines-image   the image, really built, and its pod on a real kubelet (root, buildah, containerd, 25 GB)'
	@echo 'make engines-bench   the clocks of a rollback, over and over'
	@echo 'make release-local   from source to a released image, on this machine'
	@echo 'make bench    the benchmarks of docs/benchmarks.md'
	@echo 'make lock     resolve requirements/*.txt anew'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11 (name a newer one: make PYTHON=python3.12 …)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "error: $(PYTHON) has no venv module (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.synced: requirements/dev.txt requirements/uv.txt pyproject.toml | $(BIN)/python
	@echo 'installing into $(VENV) from requirements/dev.txt (several GB with the CUDA build of torch) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.synced
	@$(BIN)/lorafleet demo $(if $(SERVE),--serve)

test: $(VENV)/.synced
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope

# They install torch's 3 GB into an image and run it on a kubelet: root, buildah and containerd, 25 GB of disk.
IMAGE_TESTS := tests/engines/test_image_build.py tests/engines/test_release_local.py tests/engines/test_trainer_pod.py

engines: $(VENV)/.synced
	@tests/engines/s3/build.sh
	@tests/engines/kubernetes/build.sh
	@tests/engines/orca/build.sh
	@tests/engines/pulumi/build.sh
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/engines tests/browser $(addprefix --ignore=,$(IMAGE_TESTS))

engines-image: $(VENV)/.synced
	@tests/engines/kubernetes/build.sh
	@tests/engines/orca/build.sh
	@tests/engines/node/build.sh
	@tests/engines/image/build.sh
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(IMAGE_TESTS)

release-local: $(VENV)/.synced
	@tests/engines/kubernetes/build.sh
	@tests/engines/orca/build.sh
	@tests/engines/image/build.sh
	@PYTHONPATH=.:tests/plugin $(BIN)/python -m tests.engines.image.release_local $(TARGET)

engines-bench: $(VENV)/.synced
	@tests/engines/kubernetes/build.sh
	@tests/engines/orca/build.sh
	@OMP_NUM_THREADS=1 PYTHONPATH=tests/plugin $(BIN)/python -m benchmarks.rollback_clocks --trials 10

lint: $(VENV)/.synced
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.synced
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.synced
	@$(BIN)/python -m lorafleet.contracts.schemas docs
	@$(BIN)/python -m pipelines.lint.page docs/release-rules.md
	@$(BIN)/python -m infra.policy.page docs/infra-policies.md

bench: $(VENV)/.synced
	@$(BIN)/python benchmarks/image_vs_diffusers.py
	@$(BIN)/python benchmarks/text_vs_trl.py
	@$(BIN)/python benchmarks/console_store.py

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url
lock: $(VENV)/.synced
	@$(LOCK) --extra dev pyproject.toml -o requirements/dev.txt
	@$(LOCK) --extra trainer pyproject.toml -c requirements/dev.txt -o requirements/trainer.txt
	@$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/base.txt
	@$(LOCK) --extra console pyproject.toml -c requirements/dev.txt -o requirements/console.txt
	@$(LOCK) --extra image pyproject.toml -c requirements/dev.txt -o requirements/image.txt
	@echo torch | $(LOCK) - -c requirements/trainer.txt -o requirements/torch.txt
	@$(LOCK) requirements/uv.in -o requirements/uv.txt

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
