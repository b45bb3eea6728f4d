# `make demo` shows the whole way from videos to moments; `make test` runs every check. Both set up their own
# environment in .venv, of the versions in constraints.txt, and need nothing but Python >= 3.11 and make.
#   make test CPU=1     PyTorch's build without CUDA: a third of the disk
#   make newest         the tests on the newest versions of everything, and what moved since the lock
#   make golden         tests/golden/made/ anew, where a change is meant to change its numbers
#   make results        README's tables and docs/results.md anew, from results/*.csv
#   make pictures       docs/serve-1280.png and docs/serve-390.png anew: the page as chromium draws it
#   make docs           the documentation as a site in site/, strictly; docs-serve shows it while it is written
#   make slow           the checks that take longer than make test should
#   make fuzz           broken files of every kind, 2,000 for each reader, in about half an hour
#   make sanitize       the kernels' tests on kernels that check every address and every overflow as they run, in a minute
#   make mutants        whether the tests notice known one-line faults, each planted in a copy
#   make oldest         the tests on the oldest versions that pyproject.toml allows
#   make lock           constraints.txt anew after a change of pyproject.toml; UPGRADE=1 takes the newest versions

.PHONY: demo test lint golden results pictures docs docs-serve slow fuzz sanitize mutants weights newest oldest lock

VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.14 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
# Where PyTorch publishes its builds without CUDA.
TORCH_CPU ?= https://download.pytorch.org/whl/cpu
PIP := -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --extra dev --no-emit-index-url

demo: $(VENV)/installed
	$(BIN)/spikemba demo --out demo

# Files of tests are shared out to as many processes as there are cores, four at most; each needs up to 3 GB.
test: lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

golden: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m golden.make

results: $(VENV)/installed
	$(BIN)/python benchmarks/render.py

pictures: $(VENV)/installed
	SPIKEMBA_PICTURES=docs $(BIN)/python -m pytest tests/browser/test_pictures.py

# Material speaks of its future at each start; that is no warning about these pages.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/installed
	$(BIN)/python -m mkdocs build --strict
docs-serve: $(VENV)/installed
	$(BIN)/python -m mkdocs serve

slow: mutants fuzz

fuzz: $(VENV)/installed
	$(BIN)/python tests/fuzz/run.py --found --mutations 2000

# gcc's address and undefined-behaviour sanitizers; libstdc++ is named so that torch's exceptions are seen to be thrown.
SANITIZED := door axes_of_one shapes_that_do_not_fit selective_scan official_scan causal_conv spiking spiking_attention \
	streaming threads
sanitize: $(VENV)/installed
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 CC=gcc SPIKEMBA_NATIVE=1 \
	SPIKEMBA_KERNEL_FLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined" \
	$(BIN)/python -m pytest -q $(SANITIZED:%=tests/unit/ops/test_%.py)

mutants: $(VENV)/installed
	$(BIN)/python tests/mutants.py --processes 2

# Trains the bundled encoder and checkpoint anew, in about an hour and a half on two cores.
weights: $(VENV)/installed
	$(BIN)/python -m pipelines.bundled.make_weights

$(VENV)/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 found; install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(if $(CPU),$(torch_without_cuda))
	$(BIN)/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# That index holds little besides PyTorch, so the dependencies come with the rest.
define torch_without_cuda
$(BIN)/python $(PIP) --constraint constraints.txt --index-url $(TORCH_CPU) --no-deps --retries 1 torch torchvision torchaudio \
		|| echo "no PyTorch from $(TORCH_CPU), as pip says above: going on with the ordinary build" >&2
endef

newest:
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 found; install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python $(PIP) --upgrade --upgrade-strategy eager --editable '.[dev]'
	.venv-newest/bin/python tests/what_moved.py constraints.txt
	.venv-newest/bin/python -m pytest

oldest: $(VENV)/installed
	$(PYTHON) -m venv .venv-oldest
	$(COMPILE) --resolution lowest-direct --output-file .venv-oldest/constraints.txt
	.venv-oldest/bin/python $(PIP) --constraint .venv-oldest/constraints.txt --editable '.[dev]'
	.venv-oldest/bin/python tests/what_moved.py constraints.txt
	.venv-oldest/bin/python -m pytest

lock: $(VENV)/installed
	$(COMPILE) --universal --python-version 3.11 $(if $(UPGRADE),--upgrade) --custom-compile-command 'make lock' --output-file constraints.txt
