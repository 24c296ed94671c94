# Needs python3 (3.11 or newer) with venv and pip; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow check format bench clean

demo: $(VENV)/.installed
	$(BIN)/subgrid run quickstart --profile laptop --workers 2

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --durations 20

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

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
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis build dist

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
