# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
METAWORLD := .venv-metaworld
STAMP := $(VENV)/.installed
TORCH := torch==2.13.0
SAMPLE := src/mask2iv/samples/cup

.PHONY: help demo test check format docs release-check install metaworld clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(STAMP) ## create .venv with everything in it

# PyTorch first: on a machine without an NVIDIA GPU its CPU build is tried, which saves gigabytes; set PIP_EXTRA_INDEX_URL
# to PyTorch's CPU wheel index if your pip does not find it.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	if command -v nvidia-smi >/dev/null 2>&1; then $(BIN)/python -m pip install --quiet $(TORCH); \
	else $(BIN)/python -m pip install --quiet $(TORCH)+cpu || $(BIN)/python -m pip install --quiet $(TORCH); fi
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[sim,execute,train,quant,eval,segment,scale,data,studio,docs,dev]"
	touch $(STAMP)

demo: $(STAMP) ## generate a trajectory and a video from the shipped sample into outputs/demo
	$(BIN)/mask2iv generate --image $(SAMPLE)/image.png --object-mask $(SAMPLE)/object_mask.png \
		--target-mask $(SAMPLE)/target_mask.png --prompt "$$(cat $(SAMPLE)/prompt.txt)" --out outputs/demo --overwrite

test: $(STAMP) ## run the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not gpu"

check: $(STAMP) ## lint and type check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Meta-World pins another MuJoCo: it has an environment of its own, to which mask2iv talks by files.
metaworld: $(METAWORLD)/.installed ## create .venv-metaworld for mask2iv execute --benchmark metaworld

$(METAWORLD)/.installed: src/mask2iv/execution/metaworld/requirements.txt
	test -x $(METAWORLD)/bin/python || $(PYTHON) -m venv $(METAWORLD)
	$(METAWORLD)/bin/python -m pip install --quiet --requirement $<
	touch $@

docs: $(STAMP) ## build the documentation site into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

release-check: $(STAMP) ## build the wheel, install it elsewhere, make a video without a network
	.ci/release-check

clean: ## remove the virtual environment and all outputs
	rm -rf $(VENV) $(METAWORLD) outputs build
