# Every target makes the virtual environment it needs.  PYTHON chooses the interpreter, PIP_ARGS reaches pip, e.g.
#   make quickstart PIP_ARGS="--index-url https://download.pytorch.org/whl/cpu --extra-index-url $(pip config get global.index-url)"
PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
OFFLINE := HF_HUB_OFFLINE=1 PYTHONWARNINGS=ignore

.PHONY: quickstart app install install-app install-test test test-slow test-oldest test-newest gpu attack check bench clean

quickstart: install
	$(OFFLINE) $(BIN)/mmcontrast quickstart --out runs/quickstart --overwrite

app: install-app
	$(BIN)/mmcontrast app

install: .venv/installed
install-app: .venv/installed-app
install-test: .venv/installed-test

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mmcontrast needs Python 3.11 or newer; choose one with: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "The venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e .
	@touch $@

.venv/installed-app: .venv/installed
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e '.[app]'
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e '.[test]'
	@touch $@

test: install-test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not gpu and not slow"

test-slow: install-test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and not gpu"

# The suite with the lowest versions that pyproject.toml allows, and with the newest that can be had.  Warnings that newer
# releases of others print about older ones are no failures here.  UV_ARGS reaches uv, for instance to name an index.
test-oldest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
test-oldest test-newest:
	@$(PYTHON) -m venv .venv-$@
	.venv-$@/bin/python -m pip install --quiet uv
	.venv-$@/bin/uv pip install $(UV_ARGS) --python .venv-$@/bin/python --resolution $(RESOLUTION) -e '.[test]'
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv-$@/bin/python -m pytest -n 2 --dist worksteal -m "not gpu and not slow" \
	  -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning -W ignore::FutureWarning

# Tests and measurements on a machine with a GPU, in at most 8 minutes; writes one Markdown table.
gpu: install-test
	HF_HUB_OFFLINE=1 $(BIN)/python -m tests.gpu.report --out gpu-report.md

# Damaged files of every kind for every reader; minutes.
attack: install-test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m tests.robustness.attack

check: install-test
	$(BIN)/ruff check .
	$(BIN)/python tests/check_words.py
	$(BIN)/python tests/check_sizes.py
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: install-test
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e '.[bench]'
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; OMP_NUM_THREADS=1 $(BIN)/python $$file || exit 1; done

clean:
	rm -rf .venv .venv-test-* build dist *.egg-info
