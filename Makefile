# The same commands for people and for CI. Everything is installed into .venv, by pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help run test test-engines test-lowest test-latest fuzz lint bench docs clean

help:
	@echo "make run           prepare a manifest from real text and train from it"
	@echo "make test          lint, types and tests"
	@echo "make test-engines  the pipeline on Prism and on a Flink cluster (SYLLABUS_PRISM, SYLLABUS_FLINK_JAR)"
	@echo "make fuzz          a minute of random sources, options, manifests and states"
	@echo "make lint          format and lint check, types"
	@echo "make bench         the benchmarks"
	@echo "make docs          the documentation site, in build/site"
	@echo "make test-lowest   the tests with the oldest releases that are allowed (TESTS=... for some of them)"
	@echo "make test-latest   the tests with the newest releases there are, whatever is allowed"

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[pipeline,cpu,demo,report,dev]'
	touch $@

run: $(STAMP)
	$(BIN)/python examples/docstrings/demo.py

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -m "not engine" -n 2 --dist worksteal

test-engines: $(STAMP)
	$(BIN)/python -m pytest -m engine

fuzz: $(STAMP)
	$(BIN)/python benchmarks/fuzz.py --seconds 60 --tries 1000

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/embed.py
	$(BIN)/python benchmarks/selection.py
	$(BIN)/python benchmarks/neighbours.py --rows 20000 110000
	$(BIN)/python benchmarks/peers.py --quick
	$(BIN)/python benchmarks/sampler.py --n 1000000

# The site is made of the sources: the package need not be installed.
$(VENV)-docs/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet 'mkdocs-material>=9.6,<10' 'mkdocstrings[python]>=0.29,<2'
	touch $@

docs: $(VENV)-docs/.installed
	$(VENV)-docs/bin/mkdocs build

# Both ends of the ranges in pyproject.toml, each in an environment of its own.
TESTS ?= tests
ENDS := lowest latest
$(ENDS:%=$(VENV)-%/.installed): $(VENV)-%/.installed: pyproject.toml tests/ends.py
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet packaging
	$(VENV)-$*/bin/python tests/ends.py $* > $(VENV)-$*/requirements.txt
	$(VENV)-$*/bin/python -m pip install --quiet -r $(VENV)-$*/requirements.txt
	$(VENV)-$*/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

$(ENDS:%=test-%): test-%: $(VENV)-%/.installed
	$(VENV)-$*/bin/python -m pytest -m "not engine" -W default -n 2 --dist worksteal $(TESTS)

clean:
	rm -rf $(VENV) $(VENV)-docs $(VENV)-lowest $(VENV)-latest build runs examples/*/data
	find syllabus -name __pycache__ -prune -exec rm -rf {} +
