# Two commands do everything: `make demo` and `make test`. What is slow is cached per user, outside the tree.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt

# What the cluster needs of Debian: Go modules and PyPI have the rest.
CLUSTER_PACKAGES := buildah catatonit iproute2 iptables mmdebstrap runc

.PHONY: demo demo-tuning test setup test-packages tools packages programs models up lint format clean cluster cluster-down cluster-tools e2e bench-controllers bench-recording bench-replay bench-serving bench-tuning chaos

# CLOUD=arm: nodes are agent pools of an emulated Azure.
CLOUD ?= local
demo: setup
	@$(BIN)/kaito demo --cloud $(CLOUD)

# A model is tuned, and what comes of it is served; the registry is Debian's.
demo-tuning: setup test-packages
	@$(BIN)/kaito demo --tuning

up: setup
	@$(BIN)/kaito up --cloud $(CLOUD)

test: lint test-packages
	$(BIN)/pytest -n 2 --dist loadfile

# A real one-node cluster with real Knative, in namespaces of its own; then the main job on it, as tests.
cluster: cluster-tools
	@$(BIN)/python -m tests.cluster up

cluster-down: tools
	@$(BIN)/python -m tests.cluster down

e2e: cluster-tools test-packages
	$(BIN)/pytest -m cluster --capture no tests/e2e/cluster

# What N Workspaces at once cost, with nodes up after B seconds and models ready P seconds later.
N ?= 200
B ?= 60
P ?= 5
bench-controllers: setup
	@$(BIN)/python -m tests.bench.controllers $(N) $(B) $(P)

# Our model server and a plain one, with 1, 8 and 32 clients each.
bench-serving: setup
	@$(BIN)/python -m tests.bench.serving

# Our trainer and TRL's, by lora and by qlora.
bench-tuning: setup
	@$(BIN)/python -m tests.bench.tuning

# What recording adds to a reconcile.
bench-recording: setup
	@$(BIN)/python -m tests.bench.recording

# Ten thousand decisions of a recording, made again.
bench-replay: setup
	@$(BIN)/python -m tests.bench.replay

# N runs of a claim on the emulated AKS with faults, kills and old looks, from SEED on: a failing one prints its history.
SEED ?= 1
chaos: tools
	@$(BIN)/python -m tests.chaos $(N) $(SEED)

cluster-tools: setup
	@$(call debian,$(CLUSTER_PACKAGES))

# For the tests of pages, of what registries are asked, and of recordings in PostgreSQL; without these they are
# skipped.
test-packages: setup
	@$(call debian,chromium docker-registry postgresql)

# These packages, where that is ours to do.
define debian
if test "$$(id -u)" = 0 && command -v apt-get >/dev/null && ! dpkg -s $(1) >/dev/null 2>&1; then \
  echo "setup: $(1), from Debian"; \
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(1) >/dev/null; \
fi
endef

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Bytecode is compiled at once: without it every start of the model server compiles torch anew, which takes longer than
# loading the model.
#
# The command line first; then, side by side, what takes minutes on a fresh machine: torch (gigabytes) and the control
# plane (compiled once from its Go modules where it cannot be downloaded); then the small model's weights.
setup: tools
	@$(MAKE) --no-print-directory -j2 packages programs
	@$(MAKE) --no-print-directory models

tools: $(VENV)/.tools
	@:
$(VENV)/.tools: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	@echo "setup: the kaito command and the development tools"
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	@$(INSTALL) --editable '.[cli,dev,functionapp,provisioner,recorder]'
	@touch $@

packages: $(VENV)/.packages
	@:
$(VENV)/.packages: $(VENV)/.tools
	@echo "setup: torch and transformers (gigabytes the first time, then from uv's cache)"
	@$(subst --quiet,,$(INSTALL)) --compile-bytecode --editable '.[bench,export,serving,training]'
	@touch $@

programs: tools
	@$(BIN)/python -m kaito.embedded.programs

models: packages
	@$(BIN)/python -m kaito.embedded.models

clean:
	rm -rf $(VENV) .kaito
