# The README's two commands are `make run` and `make test`; each sets itself up on a fresh machine.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
export OPENVINO_TELEMETRY_OPT_OUT := 1

.PHONY: run test check bench soak docs clean

run: $(STAMPS)/core  ## read the sample photos that radsnap makes itself; table and HTML report in out/
	$(BIN)/radsnap demo -o out/demo

test: $(STAMPS)/dev $(STAMPS)/apt  ## every test; the real images' tests skip where RADSNAP_TEST_DATA is absent
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal  # each worker its own core

check: $(STAMPS)/dev  ## format, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py

bench: $(STAMPS)/dev  ## every benchmark, side by side with its peer
	failed=0; for bench in bench/*.py; do echo "== $$bench"; $(BIN)/python $$bench || failed=1; done; exit $$failed

soak: $(STAMPS)/dev $(STAMPS)/apt  ## fuzz, kill, load and capture tests a hundred times as long
	RADSNAP_SOAK=100 $(BIN)/python -m pytest -q tests/imaging/test_hostile.py tests/web tests/capture tests/markers

# What `run` needs goes in first: no torch.
$(STAMPS)/core: pyproject.toml constraints.txt | $(STAMPS)/venv
	$(PIP) -e .
	touch $@

$(STAMPS)/dev: $(STAMPS)/core
	$(PIP) -e ".[train,web,cluster,dev]"
	touch $@

# A browser and a database for the tests of the doors; without root their tests skip with a line where these are missing.
$(STAMPS)/apt: | $(STAMPS)/venv
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! { command -v chromium && ls /usr/lib/postgresql; } >/dev/null 2>&1; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium postgresql; fi
	touch $@

$(STAMPS)/venv:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "radsnap needs Python 3.11 to 3.13: make PYTHON=python3.12 run"; exit 1; }
	$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
		[ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }
	mkdir -p $(STAMPS)
	touch $@

docs: $(STAMPS)/dev  ## the README's picture, the page of commands, the gallery; the pages as a site in build/site
	$(PIP) -e ".[docs]"
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/capture_figures.py
	$(BIN)/radsnap photograph --preview docs/photograph-gallery.jpg
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) out runs build dist
