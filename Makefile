# Two commands do everything: `make verify` and `make test`. Both create or refresh .venv first.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: verify test lint pythons clean

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

# The quick part of the suite on every Python from 3.11 on that this machine has, each in an environment of its own.
PYTHONS ?= $(wildcard $(HOME)/.pyenv/versions/3.1[1-9].*/bin/python)
pythons:
	for python in $(PYTHONS); do \
		$(MAKE) verify PYTHON=$$python VENV=$(VENV)-$$($$python -c 'import platform; print(platform.python_version())') \
			ARGS='--profile quick' || exit 1; \
	done

# torch comes first and by itself: its exact version is what keeps a CPU machine from fetching CUDA libraries.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "flatproof needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) $(VENV)-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
