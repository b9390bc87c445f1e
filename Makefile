# make demo   install into .venv and run the main job; report under build/demo/
# make test   install what the tests need and run them with the linters
# make test-all  also what is marked slow: all networks; ended, it goes on where it was; outcome in results/proof.csv
# make fresh  the demo, rebuilding every file
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo fresh test test-all lint clean

demo: $(VENV)/.installed-demo
	$(BIN)/newnet demo

fresh: $(VENV)/.installed-demo
	$(BIN)/newnet demo --fresh

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(VENV)/.installed-dev $(VENV)/.installed-kotlin lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow or not slow" --resume build/test-all.jsonl --proof

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "newnet_tf needs Python 3.11 to 3.13 (make demo PYTHON=python3.12). Received: Python %d.%d" % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: setup.py $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@

clean:
	rm -rf build *.egg-info
