# make demo      install into .venv and run the demo; the report is build/demo/report.html
# make fresh     the demo, writing every file again
# make test      install what the tests need, run the linter and the tests
# make test-all  also the slow tests, of all models; resumes when interrupted; writes newnet_tf/results/compatibility.csv
# make lint      the linter alone
# make clean     remove what was built
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo fresh test test-all lint clean

demo: $(VENV)/.installed-demo
	$(BIN)/newnet demo

fresh: $(VENV)/.installed-demo
	$(BIN)/newnet demo --force

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(VENV)/.installed-dev $(VENV)/.installed-kotlin lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow or not slow" --resume build/test-all.jsonl --save-compatibility

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
