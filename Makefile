# On a fresh machine `make demo` and `make test` set up everything that they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# On Linux, PyPI's torch brings CUDA along (several GB). For a CPU build:
# make demo PIP_FLAGS='--extra-index-url https://download.pytorch.org/whl/cpu'
PIP_FLAGS ?=
PIP := $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt $(PIP_FLAGS)
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format bench results mini mini-bars dist test-vllm test-clients test-browser test-lmms-eval lint-deploy clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Torch first and alone: under the constraints every later install keeps this build.
$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (a few minutes the first time) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "expected Python 3.11 or newer; set PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) -e '.[dev]'
	@touch $@

demo: $(READY)  ## Run the main job on shipped sample images; writes out/demo.html
	@$(BIN)/visionthink demo --out out

# One worker per core, one thread per worker: small models gain nothing from more threads.
test: $(READY)  ## Run all tests that need no server
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 4

test-slow: $(READY)  ## Trainings in other processes, killed and resumed; a loaded server; an installed wheel (minutes)
	$(BIN)/pytest -m slow

check: $(READY)  ## Format, lint, types, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python scripts/cli_reference.py --check
	$(BIN)/python scripts/config_reference.py --check

format: $(READY)  ## Fix what `make check` reports, where a tool can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/cli_reference.py
	$(BIN)/python scripts/config_reference.py

dist: $(READY)  ## Build the wheel and the source archive in dist/
	$(BIN)/python -m build --no-isolation --outdir dist .

bench: $(READY)  ## Speed ratios, measured side by side
	$(BIN)/python bench/run.py
	$(BIN)/python bench/policies.py
	$(BIN)/python bench/gateway.py
	$(BIN)/python bench/train_step.py

results: $(READY)  ## Remake docs/results.md: the trainings (hours) and the comparison of policies (an hour)
	$(BIN)/python bench/study.py
	$(BIN)/python bench/compare.py

mini: $(READY)  ## Remake the embedded tokenizer, checkpoints and sample images (about an hour and a half)
	$(BIN)/python -m recipes.mini --out out/mini
	cp -r out/mini/mini-base out/mini/mini-sft src/visionthink/mini/checkpoints/
	$(BIN)/visionthink train grpo mini --set reward.rule=paper --out out/mini/grpo --resume
	cp -r out/mini/grpo/model/. src/visionthink/mini/checkpoints/mini/
	$(BIN)/python -m recipes.mini.samples out/mini/grpo/model src/visionthink/mini/samples

mini-bars: $(READY)  ## Measure the embedded checkpoints on unseen drawings of every family
	$(BIN)/python -m recipes.mini.benchmark $(ARGS)

test-vllm: $(READY)  ## Test the openai engine against a real vLLM server (builds .venv-vllm)
	bash scripts/vllm_env.sh
	$(BIN)/pytest -m vllm tests/real_vllm

test-clients: $(READY)  ## Ask through the gateway with real clients of OpenAI's API (builds .venv-clients)
	bash scripts/clients_env.sh
	$(BIN)/pytest -m clients tests/real_clients

test-browser: $(READY)  ## Test the playground and the pages in a real Chromium (installs Debian's)
	bash scripts/browser_env.sh
	OMP_NUM_THREADS=1 $(BIN)/pytest -m browser -n logical --maxprocesses 4 tests/real_browser

test-lmms-eval: $(READY)  ## Test the plugin in real lmms-eval processes (builds .venv-lmms)
	bash scripts/lmms_env.sh
	$(BIN)/pytest -m lmms tests/real_lmms

lint-deploy:  ## Lint the container file, compose, Kubernetes and PromQL in deploy/ (builds .venv-deploy)
	bash scripts/lint_deploy.sh

clean:  ## Remove environments and outputs
	rm -rf $(VENV) .venv-vllm .venv-lmms .venv-deploy build dist out runs .pytest_cache .hypothesis .ruff_cache
