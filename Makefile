# Thin wrappers: each target sets up .venv on first use.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# A worker takes up to 4 GiB. Files run in their order: tests/e2e, the longest, among the first.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo paper test test-fast retrain-ci docs lint format clean
.DEFAULT_GOAL := demo

# --no-deps: the lock is complete, and pip would lose the hashes of packages with extras if it
# resolved them again.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.installed  ## run the whole pipeline on the embedded world (DATASET=plain-table: from CSV files) and print the path of the report
	$(BIN)/facsimile demo $(if $(DATASET),--dataset $(DATASET))

paper: $(VENV)/.installed  ## measure every claim of the paper (PRESET=full: for a GPU) and print the path of the report
	$(BIN)/facsimile paper $(if $(PRESET),--preset $(PRESET))

test: $(VENV)/.installed  ## run all tests, a file at a time on each core
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/.installed  ## run the tests that start no process, server or training
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

retrain-ci: $(VENV)/.installed  ## retrain if params, code or dvc.lock differ from BASE (main), and compare with the champion
	$(BIN)/facsimile retrain-ci --base $(or $(BASE),main) $(RETRAIN)

docs: $(VENV)/.installed  ## build the documentation as a site, site/index.html
	$(BIN)/mkdocs build --strict --quiet

lint: $(VENV)/.installed  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed  ## fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment
	rm -rf $(VENV)
