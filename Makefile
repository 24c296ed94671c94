# Needs python3 (3.11 or newer) with venv and pip; everything else goes into .venv. `make floors` and
# `make newest` have environments of their own, .venv-floors and .venv-newest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt


# The tests that meet the most of what other packages do, and the smallest whole run.
VERSION_TESTS ?= tests/test_floors.py tests/data tests/config tests/deploy tests/stepping \
    tests/experiment/test_runs.py
# $(1): the environment, made anew; $(2): what pip is told beside the packages
define test_versions
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2) --editable '.[dask,test]'
	$(1)/bin/python -m pytest -q $(VERSION_TESTS)
	$(1)/bin/subgrid run quickstart --profile tiny --out "$$(mktemp -d)/quickstart"
endef

.PHONY: demo test test-slow golden floors newest check format bench clean

demo: $(VENV)/.installed
	$(BIN)/subgrid run quickstart --profile laptop --workers 2

# a file to a worker: its tests share what is compiled
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 20

# every preset at `tiny` against tests/golden; `make golden KEEP=--write` keeps what it finds
golden: $(VENV)/.installed-dev
	$(BIN)/python tests/golden/golden.py --runs "$$(mktemp -d)" $(KEEP)

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

floors:
	$(call test_versions,.venv-floors,--constraint constraints-floors.txt)

newest:
	$(call test_versions,.venv-newest,)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/basedpyright

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	for name in qg_step kolmogorov_step convolution hybrid_step closure_step simulate_output generation_memory training startup; do \
	    echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) .venv-floors .venv-newest .cache .pytest_cache .ruff_cache .hypothesis build dist

$(VENV)/.created:
	@echo "Setting up $(VENV) (about a minute)"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) --editable '.[dev]'
	touch $(VENV)/.installed $@
