# Two commands do everything: `make verify` and `make test`. Both create or refresh .venv first.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: verify test lint clean

verify: $(READY)
	$(BIN)/python -m pytest verify/ $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 $(ARGS)

# Style, types, and the examples in the README and in the docstrings.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q --doctest-modules --doctest-glob='*.md' theory synthetic verify README.md --ignore-glob='*/test_*.py'

# torch comes first and by itself: its exact version is what keeps a CPU machine from fetching CUDA libraries.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "flatproof needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
