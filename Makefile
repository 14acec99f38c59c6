# Two commands matter: `make demo` and `make test`. Both make .venv first, from pinned and hashed requirements.
# `make check` is lint + types + layering. Everything runs without root and touches nothing outside this folder.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install test check demo bench contracts mutants mutate lock clean

install: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml client/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "attestca needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e client -e .
	touch $@

# The workers collect alike; hundreds of processes find the modules compiled. A worker that waits for them leaves its
# core to another, so there is one more than there are cores in a small machine.
WORKERS ?= 3
QUICK := PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=
test: install
	$(BIN)/python -m simulator.node install
	$(BIN)/python -m coverage erase
	$(QUICK) $(BIN)/python -m coverage run -m pytest -n $(WORKERS) --dist loadfile --durations=15
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report
	$(BIN)/python -m coverage report --include='verifiers/*,policies/*,ca/issuance/*' --fail-under=100

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/codespell

# Compiles the registry and holds it against its artefact, byte for byte; then forge's tests and what they cost in gas.
# Needs no Node.js on the machine. After a change: make contracts WRITE=1.
contracts: install
	$(BIN)/python -m simulator.node install
	$(BIN)/python -m simulator.node run contracts/build.mjs $(if $(WRITE),--write)
	$(BIN)/python -m simulator.node forge fmt $(if $(WRITE),,--check)
	$(BIN)/python -m simulator.node forge test --gas-snapshot-check=$(if $(WRITE),false,true)

demo: install
	$(BIN)/python -m simulator.demo

bench: install
	$(BIN)/python -m bench

# Changes every expression of the verifiers in turn (mutmut), CHILDREN at a time; a test must fail each time. Takes an
# hour or more; stopped, it goes on where it was. One function: MUTANTS="verifiers.snp.vek.x__time*". Then says what is
# left that nobody has judged.
CHILDREN ?= 2
mutants: export ATTESTCA_VECTORS ?= $(abspath ../shared/vectors)
mutants: install
	$(BIN)/mutmut run --max-children $(CHILDREN) $(MUTANTS)
	$(BIN)/python -m tests.mutants.report

# Takes out every check of verifiers/ and policies/ in turn, and every statement that is one; a test must fail each time.
# Long: name files with FILES="verifiers/chain.py …".
mutate: install
	$(BIN)/python -m tests.mutate $(FILES)

# The pins, for every platform and Python from 3.11 on. Needs `uv`; writes no index address.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--no-emit-package attestca-client pyproject.toml -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		requirements/build.in -o requirements/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		requirements/ci.in -o requirements/ci.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--no-emit-package attestca-client --group test --group lint pyproject.toml -o requirements/dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage mutants \
		contracts/node_modules contracts/.chain contracts/cache contracts/out
