# Two commands are all a fresh machine needs: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test check format bench tools clean

help:
	@echo "make demo    run the main job on a scratch repository (no server, no key)"
	@echo "make test    the tests"
	@echo "make check   format, lint, types, import contracts"
	@echo "make bench   speed, as ratios against named baselines"
	@echo "make tools   the real coding agents and LiteLLM, for the tests that drive them"

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@mkdir -p .venv/types && ln -sfn ../.. .venv/types/swarm
	@touch $@

demo: .venv/ready
	@$(BIN)/python -P docs/demo.py

test: .venv/ready
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready
	$(BIN)/python -P benchmarks/run.py

tools:
	bash .ci/tools

clean:
	rm -rf .venv build *.egg-info
