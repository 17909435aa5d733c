# The verbs. Each makes what it needs first, so `make serve` and `make test` work on a bare clone.
#
#   make serve PORT=9000 REGISTRY=my.yaml      HOST, PORT and REGISTRY go to the server
#   make test ARGS="-k ledger"                 ARGS goes to pytest
#   make eval EVAL_DATA=FOLDER ARGS=--quick    ARGS goes to shoal eval run; a quick look is kept in eval/quick
#   make PYTHON=/opt/python3.12/bin/python3    the interpreter that .venv is made with

SHELL = /bin/sh
# Where Python may not keep what it compiles, every start of Shoal takes a second more.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help prepared serve test check eval bench books fuzz savings picture lock lowest weights clean

RIGHT_PYTHON = import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in .venv/bin/python python3 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(RIGHT_PYTHON)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
NO_PYTHON = Shoal needs Python 3.11 or newer, and none is on the PATH. Remedy: install one, or make PYTHON=/path/to/python3
PREPARE = @$(if $(PYTHON),,$(error $(NO_PYTHON)))"$(PYTHON)" -I shoal/bootstrap.py

# $(call option,NAME,--flag): the flag, when NAME was given to make itself; a HOST in the environment is another's.
option = $(if $(filter command,$(origin $(1))),$(2) '$($(1))')

EVAL_DATA ?= ../shared/data

UV ?= uv
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(ARGS) pyproject.toml

LIGHT = dev eval nvidia otel parquet
NEEDS_UV = @command -v $(UV) >/dev/null || { \
	echo "make $@ needs uv. Remedy: pip install uv, or make $@ UV=/path/to/uv" >&2; exit 1; }
comma = ,
empty =

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

serve: weights ## install what serving needs, fetch the weights, serve on 127.0.0.1:8080
	@exec .venv/bin/shoal serve $(call option,HOST,--host) $(call option,PORT,--port) \
		$(call option,REGISTRY,--registry)

weights: ## fetch and verify the weights that the registry names
	$(PREPARE) serve
	@.venv/bin/shoal experts pull $(call option,REGISTRY,--registry)

prepared:
	$(PREPARE) test

test: prepared ## install what tests need and run them all
	@.venv/bin/shoal experts pull
	@.venv/bin/python -m pytest $(ARGS)

check: prepared ## lint, types, import rules, Dockerfile, house rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/hadolint Dockerfile
	.venv/bin/python -m pytest -q tests/house

eval: ## measure the judge again: every figure, the report and the tables of README and docs, from the data in EVAL_DATA
	@$(if $(wildcard $(EVAL_DATA)),:,$(error no folder $(EVAL_DATA). Remedy: make eval EVAL_DATA=FOLDER, where the files of eval/data/figures.yaml are))
	$(PREPARE) test
	@.venv/bin/shoal eval run --data '$(EVAL_DATA)' $(ARGS)
	@.venv/bin/shoal eval report $(if $(filter --quick,$(ARGS)),eval/quick)
	@$(if $(filter --quick,$(ARGS)),:,.venv/bin/python -m eval.tables)

bench: ## measure what Shoal itself costs per request; writes eval/results/bench.json
	$(PREPARE) serve
	@.venv/bin/python -m eval.bench $(ARGS)
	@.venv/bin/python -m eval.tables

savings: ## measure bias and coverage of the savings figure in simulated traffic; writes eval/results/savings*.json
	$(PREPARE) serve
	@.venv/bin/python -m eval.savings $(ARGS)
	@.venv/bin/python -m eval.savings --groups $(ARGS)

fuzz: prepared ## 20,000 requests made from our own OpenAPI document, most of them wrong; ARGS="--cases 2000 --seed 1"
	@.venv/bin/python -m tests.fuzz $(ARGS)

picture: prepared ## take docs/dashboard.png again, of the default registry after 300 requests (needs Chromium)
	@.venv/bin/shoal experts pull
	@.venv/bin/python -m tests.browser.picture $(ARGS)
	@.venv/bin/python -m eval.tables

books: prepared ## ten thousand mixed requests against an upstream that keeps its own books; BOOKS=N for others
	@BOOKS=$${BOOKS:-10000} .venv/bin/python -m pytest -q tests/service/test_books.py $(ARGS)

lock: ## write the lock files from pyproject.toml again (needs uv); ARGS=--upgrade for newer versions
	$(NEEDS_UV)
	$(LOCK) --output-file requirements/serve.txt
	$(LOCK) $(LIGHT:%=--extra %) --constraint requirements/serve.txt --output-file requirements/test.txt

lowest: weights ## run the tests with the lowest versions that pyproject.toml allows, in a .venv of their own (needs uv)
	$(NEEDS_UV)
	$(UV) venv --quiet --clear --seed --python "$(PYTHON)" .lowest
	$(UV) pip install --quiet --python .lowest --resolution lowest-direct -e '.[$(subst $(empty) ,$(comma),$(LIGHT))]'
	.lowest/bin/python -m pytest --ignore tests/house $(ARGS)

clean: ## remove .venv and every cache; the ledger and the weights in .shoal stay
	rm -rf .venv .lowest .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

Makefile: ;

.DEFAULT:
	$(error no target '$@'. Try: make help)
