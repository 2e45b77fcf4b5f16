# Each of these works alone, any number of times, in any order; whatever is missing is set up first.
#
#   make repro [PROFILE=quick|cpu|gpu|paper] [TASK=inpainting] [METHODS="vdsr glcic"]
#              [WORKERS=2] [PARALLEL=dask|dask:tcp://host:8786|ray]
#   make test [CHANGED=1]  all tests, or for three minutes those that what differs from the last commit can touch
#   make ui          MLflow and Prefect in the browser
#   make lint        ruff and mypy        make setup   the environment, the pictures, the databases
#   make clean-state forget servers, databases, checkpoints and costs (never results)

PYTHON ?= python3
BIN := .venv/bin
EXTRAS ?= dev
TEST_WORKERS ?= 2
INSTALLED := .venv/.installed
READY := .state/.ready
SHELF := .state/shelf/.fetched

export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION := false
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PYTHONUNBUFFERED := 1
unexport PYTHONSAFEPATH  # `python -m flows...` is found in this folder

.PHONY: repro test ui lint setup clean-state
.DELETE_ON_ERROR:

repro: $(READY)
	@$(BIN)/python -m flows.rebuild --profile "$(PROFILE)" --task "$(TASK)" --methods "$(METHODS)" \
		--runner "$(PARALLEL)" --workers "$(WORKERS)"

test: $(INSTALLED) $(SHELF)
ifdef CHANGED
	@$(BIN)/python -m tests.changed
else
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(TESTS)
endif

ui: $(READY)
	@$(BIN)/python -m flows.ui

lint: $(INSTALLED)
	@$(BIN)/ruff check . && $(BIN)/mypy

setup: $(READY)

clean-state: $(INSTALLED)
	@$(BIN)/python -m flows.clean

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "restore-ml needs Python 3.11 or later; give it as PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	$(BIN)/python -m pip check
	touch $@

$(SHELF): $(INSTALLED) src/restore_ml/data/shelf_packages.py
	@$(BIN)/restore-ml shelf --fetch
	@mkdir -p $(@D) && touch $@

$(READY): $(INSTALLED) $(SHELF) $(wildcard data.dvc)
	@mkdir -p .state
	@$(BIN)/python -m flows.setup
	@touch $@
