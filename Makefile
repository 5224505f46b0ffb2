# make demo   train, judge and use a model on a real brain template, then say where to look
# make test   style, types, layers and the test suite
# Both set themselves up in .venv on a machine with Python 3.11 or later, make and pip.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test

demo: .venv/demo.installed
	$(BIN)/delineo demo

test: export OMP_NUM_THREADS = 1
test: export PYTHONUNBUFFERED = 1
test: .venv/test.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist worksteal

.venv/created:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or later is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo.installed: .venv/created pyproject.toml constraints.txt
	@echo "Installing into .venv; the first time takes a few minutes"
	$(PIP) --editable '.[demo]'
	touch $@

.venv/test.installed: .venv/created pyproject.toml constraints.txt
	@echo "Installing into .venv; the first time takes a few minutes"
	$(PIP) --editable '.[demo,test]'
	touch .venv/demo.installed $@
