# Everything a contributor runs. Each target sets up what it needs first; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
# Where a company's proxy stands between, its certificate is among the system's.
export UV_SYSTEM_CERTS := 1
COMPILED := $(foreach kind,pyx pxd h,$(wildcard airflow_provider_tungsten/replicator/binlog/*.$(kind)))

.PHONY: help setup packages mysql mariadb demo test bench cluster lint wheel clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: packages ## Install what everything else needs: system packages, MySQL, MariaDB, a virtual environment
	@$(MAKE) --no-print-directory -j2 mysql mariadb $(INSTALLED)

packages:
	@$(PYTHON) -m tests.stack.provision packages

mysql:
	@$(PYTHON) -m tests.stack.provision mysql

mariadb:
	@$(PYTHON) -m tests.stack.provision mariadb

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(INSTALLED): pyproject.toml setup.py docker/redshift/pyproject.toml $(COMPILED) | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[dev]' -e docker/redshift
	@touch $@

demo: setup ## Run the whole stack and watch rows arrive; ONCE=1 ends after a minute and compares
	$(BIN)/python -m tests.stack.demo $(if $(ONCE),--once)

# xdist waits for ever where it replaces a crashed worker.
test: setup ## Run all tests
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder --max-worker-restart=0

bench: setup ## Run the benchmarks; figures go to build/bench.json
	$(BIN)/python -m tests.benchmarks

cluster: setup ## Replicate the shop into a Redshift cluster of yours and compare; see tests/stack/cluster.py
	$(BIN)/python -m tests.stack.cluster

lint: setup ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(INSTALLED) ## Build source distribution and manylinux wheels into dist/, audited and tried without a compiler
	$(BIN)/python -m tests.packaging.wheel

clean: ## Remove what was built here; what is cached outside the checkout stays
	rm -rf $(VENV) build dist *.egg-info docker/redshift/*.egg-info .pytest_cache .mypy_cache .ruff_cache
	find airflow_provider_tungsten -name '*.so' -delete -o -name '*.cpp' -delete
