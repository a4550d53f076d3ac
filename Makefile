# Everything a person or CI calls. `make` alone lists the targets.
# The environment is .venv; it is made once and made again only when pyproject.toml or constraints.txt changes.

PYTHON ?= python3
VENV   := .venv
READY  := $(VENV)/.ready
BIN    := $(VENV)/bin
WORKERS ?= 2
# Their slow tests start clusters of several processes.
CLUSTERED := tests/orchestration tests/jobs tests/drill tests/clusters tests/infra

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-simulations test-clusters drill bench check image-check format docs clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "make: '$(PYTHON)' is not here; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old; lesionlab needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: $$($(PYTHON) --version) came without the venv module; install it (on Debian and Ubuntu: the package python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV) from constraints.txt (once; a few minutes) ..."
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## the whole study in small, on simulated patients (10 to 15 minutes)
	@$(BIN)/lesionlab demo $(if $(STORE),--store $(STORE))

test: $(READY) ## the default suite: everything that is not marked slow
	@$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --durations 20 $(ARGS)

test-slow: test-simulations test-clusters ## the long tests, both kinds: before a release

test-simulations: $(READY) ## simulated experiments (coverage, type I error, power), real scans
	@$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist loadfile $(CLUSTERED:%=--ignore=%) $(ARGS)

test-clusters: $(READY) ## killed processes, several submitters, a whole study under Ray on S3
	@$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist loadfile $(CLUSTERED) --durations 20 $(ARGS)

drill: $(READY) ## kill workers, nodes and servers, damage objects: what happens to a sweep (ARGS="--seed 2 --out docs/drill.md")
	@$(BIN)/python -m tests.drill $(ARGS)

$(VENV)/.bench: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps panoptica dynamic-network-architectures
	@touch $@

bench: $(VENV)/.bench ## our speed beside peers on the same work (ROW=step; ROW=ingestion ARGS="--studies 8 --spacing 1")
	@$(BIN)/python -m tests.benchmarks.suite $(if $(ROW),--row $(ROW)) $(ARGS)

check: $(READY) ## format, lint, types, layers, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/lesionlab cluster k8s/sites.yaml --monitoring infra/monitoring --check
	@$(BIN)/lesionlab storage policies k8s/sites.yaml --out infra/storage --check

image-check: ## build the image without a registry and run a tiny sweep in it (root, buildah, debootstrap; else skipped)
	@infra/image/check.sh

format: $(READY) ## rewrite the code in the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

$(VENV)/.docs: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs ## the manual as HTML in docs/_build; a warning is an error
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build
	@echo "docs/_build/index.html"

clean: ## remove the environment, local results and the built manual (.venv, .lesionlab, docs/_build)
	@rm -rf $(VENV) .lesionlab docs/_build
