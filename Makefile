# Two commands are all a fresh machine needs: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test soak check format bench tools clean

help:
	@echo "make demo    run the main job on a scratch repository (no server, no key)"
	@echo "make test    the tests"
	@echo "make soak    the full counts of what the README promises (hours)"
	@echo "make check   format, lint, types, import contracts"
	@echo "make bench   speed, as ratios against named baselines (BENCH='--readme', '--big', '--only sync', --help)"
	@echo "make tools   the real coding agents and LiteLLM, for the tests that drive them"

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@mkdir -p .venv/types && ln -sfn ../.. .venv/types/swarm
	@touch $@

demo: .venv/ready
	@$(BIN)/python -P docs/demo.py

# One worker a core, and no more than four: there is a real LiteLLM in each that needs one. Who runs dry takes over.
test: .venv/ready
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal

# Of the tests that check a part of a promise (tests/soak.py), all that there is to check.
soak: .venv/ready
	SWARM_SOAK=1 $(BIN)/pytest -o faulthandler_timeout=0 $$(grep -rl 'from soak import' --include='test_*.py' tests)

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/bench: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

bench: .venv/bench
	$(BIN)/python benchmarks/run.py $(BENCH)

tools:
	bash .ci/tools

clean:
	rm -rf .venv build *.egg-info
