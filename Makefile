# Every target works in a fresh clone on Debian 12 with nothing but Python 3.11, make and git.
BIN := .venv/bin
# Debian's own is built with every optimisation, which makes the tests a quarter faster than with one built at home.
export PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11 /usr/bin/python3.12 /usr/bin/python3.13) python3)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What starts often must not be compiled each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench fault clean

demo: .venv/central.installed
	$(BIN)/pusher demo

test: .venv/dev.installed
	scripts/install_debian.sh mariadb postgresql sshd faketime chromium
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder

check: .venv/dev.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict pusher models scripts tests benchmarks
	$(BIN)/lint-imports

# Larger sizes, or some of it: make bench BENCH='--rows 1000000 --only load memory'
bench: .venv/dev.installed
	scripts/install_debian.sh mariadb sshd
	@type mariadb-dump >/dev/null 2>&1 || { echo 'make bench needs mariadb-dump: apt-get install mariadb-client'; exit 2; }
	$(BIN)/python -m benchmarks $(BENCH)

# The long fault run: make fault ROUNDS=200 SEED=1 CENTRAL=mariadb
ROUNDS ?= 50
fault: .venv/dev.installed
	scripts/install_debian.sh mariadb faketime
	$(BIN)/python -m tests.fault --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(if $(CENTRAL),--central $(CENTRAL))

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	scripts/install_debian.sh venv
	$(PYTHON) -m venv .venv

# What is installed is installed again only when setup.cfg says something new.
.venv/central.installed: setup.cfg | $(BIN)/python
	$(PIP) --editable '.[central]'
	touch $@

.venv/dev.installed: setup.cfg | $(BIN)/python
	$(PIP) --editable '.[dev]'
	touch $@ .venv/central.installed
