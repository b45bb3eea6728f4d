# `make demo` shows the whole way from videos to moments; `make test` runs every check. Both set up their own
# environment in .venv and need nothing but Python >= 3.11 and make.

.PHONY: demo test lint weights

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)

demo: $(VENV)/installed
	$(BIN)/spikemba demo --out demo

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Trains the bundled encoder and checkpoint anew, in about an hour and a half on two cores.
weights: $(VENV)/installed
	$(BIN)/python -m pipelines.make_weights

$(VENV)/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 found; install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
