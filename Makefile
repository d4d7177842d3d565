# Two commands do everything: `make evolve` and `make test`. The rest are helpers.
SHELL := /bin/bash
PY ?= python3
SANDBOX ?= auto
JOBS ?= 3  # more than the cores of a small machine: most tests wait for processes
export PYTHONUTF8 = 1

evolve: .venv/.base  ## a real evolve run on the embedded offline model; SANDBOX=docker runs it in containers
	@PATH="$(CURDIR)/.venv/bin:$$PATH" SANDBOX="$(SANDBOX)" bash bin/demo $(ARGS)

test: .venv/.dev  ## every check that needs no network: lint, types, tests
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest -n $(JOBS) $(ARGS)

check: .venv/.dev
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

suites: .venv/.base  ## prove every shipped task, in every sandbox that is there
	bash bin/check-suites $(ARGS)

image:  ## the image that docker boxes run; BASE_IMAGE= where python:3.12-slim cannot be pulled
	docker build -t sica-sandbox $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) sandbox

policies: .venv/.base  ## every policy on core with the offline model, in both sandboxes; SANDBOXES, CHILDREN, TASK
	@PATH="$(CURDIR)/.venv/bin:$$PATH" bash bin/policies

bench: .venv/.dev  ## what the harness costs, as ratios against floors measured in the same run
	.venv/bin/python benchmarks/bench.py $(ARGS)

screenshots: .venv/.dev  ## the pictures of docs/web.md, drawn anew; needs a Chromium
	.venv/bin/python bin/screenshots.py
small-model: .venv/.dev  ## a real language model of 135 million parameters on loopback, and one trial with it
	.venv/bin/python benchmarks/small_model.py $(ARGS)

lock:  ## resolve again, only releases older than 14 days
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  --exclude-newer "$$(date -d '14 days ago' +%F)" pyproject.toml -o requirements/base.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  --exclude-newer "$$(date -d '14 days ago' +%F)" --extra dev pyproject.toml -o requirements/dev.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  --exclude-newer "$$(date -d '14 days ago' +%F)" requirements/interop.in -o requirements/interop.txt

.venv/.base: requirements/base.txt pyproject.toml
	$(PY) bin/setup.py requirements/base.txt && touch .venv/.base

.venv/.dev: requirements/dev.txt pyproject.toml
	$(PY) bin/setup.py requirements/dev.txt && touch .venv/.dev .venv/.base

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

.PHONY: evolve test check suites image policies bench screenshots small-model lock clean
