# Everything installs into .venv, by `make env`; the other targets call it, and it is quick when nothing changed.
PYTHON ?= python3
BIN := .venv/bin
CACHE := $(if $(MILLRACE_CACHE),$(MILLRACE_CACHE),$(HOME)/.cache/millrace)
LID := $(CACHE)/lid.176.ftz

.PHONY: env demo test test-ranks test-all gpu-train lint resolve clean

env: .venv/.installed $(LID)

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

$(LID): | .venv/.installed
	$(BIN)/python -m curator.identify.model

demo: env
	$(BIN)/millrace demo

test: env
	$(BIN)/pytest -n auto --dist worksteal

test-ranks: env  # what of training and alignment needs many processes, or a minute
	$(BIN)/pytest -n auto --dist worksteal -m slow tests/pretrain tests/align

test-all: env
	$(BIN)/pytest -n auto --dist worksteal -m '' --hypothesis-profile thorough

gpu-train: env  # needs a GPU, and torch built for it
	$(BIN)/python -m benchmarks.gpu_train

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

resolve: env  # the GPU extra installs nowhere without a GPU; that it resolves with our versions is checked
	@mkdir -p build
	$(BIN)/uv pip compile -q --python-version 3.11 -c constraints.txt --extra gpu pyproject.toml -o build/gpu.txt
	@wc -l build/gpu.txt

clean:
	rm -rf .venv build runs
