# Needs Python 3.11 to 3.13, git and make. Everything else is installed into .venv and .tools.

PYTHON ?= python3
CORES ?= 2
ROUNDS ?= 20
SCALE ?= laptop

UV := .tools/bin/uv
BIN := .venv/bin
READY := .venv/.ready
# Files are handed out in this order: those that start whole runs first.
PYTEST = $(BIN)/pytest -n $(CORES) --dist loadfile --no-loadscope-reorder tests/workflow tests/unit

.PHONY: help setup doctor demo test test-all chaos test-slurm bench bench-paths lint format clean

help:
	@echo "make setup    install the versions of uv.lock into .venv"
	@echo "make doctor   look for what could stop a run; PROFILE=slurm for that profile"
	@echo "make demo     the whole pipeline in miniature: figures and tables in results/"
	@echo "make test     all tests but slow ones and those of Slurm"
	@echo "make test-all all tests but those of Slurm"
	@echo "make test-slurm  the cluster profile on a real Slurm: as root, on a machine made for tests"
	@echo "make bench    time the engine against the ordinary way (BENCH=--short: under two minutes)"
	@echo "make bench-paths  what random images and lower precision do to the heights of a run's paths"
	@echo "make chaos    kill the workflow at random moments, $(ROUNDS) times (docs/reliability.md)"
	@echo "make lint     check the style of Python files and rules"
	@echo "make format   correct that style where a program can"
	@echo "make clean    remove what setup installed; results stay"
	@echo "Variables: CORES=$(CORES), PYTHON=$(PYTHON), ROUNDS=$(ROUNDS), SCALE=$(SCALE), BENCH, PROFILE"

setup: $(READY)

$(READY): pyproject.toml uv.lock | $(UV)
	$(UV) sync --frozen --compile-bytecode --python $(PYTHON)
	@touch $@

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "error: $(PYTHON) is not of version 3.11 to 3.13; name one that is: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv .tools || \
	  { echo "error: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	.tools/bin/python -m pip install --quiet uv

doctor: $(READY)
	$(BIN)/python scripts/doctor.py $(if $(PROFILE),--profile $(PROFILE))

demo: $(READY)
	$(BIN)/snakemake --cores $(CORES) --config scale=smoke

test: $(READY)
	$(PYTEST) -m "not slow"

test-all: $(READY)
	$(PYTEST)

test-slurm: $(READY)
	tests/install.sh slurmctld slurm-wlm munge
	$(BIN)/pytest tests/slurm

bench: $(READY)
	PYTHONPATH=scripts:tests $(BIN)/python -m benchmarks $(BENCH)

bench-paths: $(READY)
	PYTHONPATH=scripts:tests $(BIN)/python -m benchmarks.stochastic --scale $(SCALE) $(BENCH)

chaos: $(READY)
	PYTHONPATH=scripts $(BIN)/python tests/chaos.py --rounds $(ROUNDS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile rules

clean:
	rm -rf .venv .tools .pytest_cache .ruff_cache .hypothesis
