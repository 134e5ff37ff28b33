# Everything happens in .venv (and .venv-standard, .venv-audit); no root, no system package manager.

PYTHON ?= python3
PROMPT ?=
PYTEST ?=
export PROMPT

# pip writes no bytecode here, which is quicker, so the first import of each module must write it.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
STANDARD := .venv-standard/bin
AUDIT := .venv-audit/bin

.PHONY: help demo chat test check bench faults soak workers audit record notebooks pictures docs package wheels floor ceiling clean

help:
	@echo 'make demo [PROMPT="draw …"]  draw a picture and edit it; offline unless OPENAI_API_KEY is set'
	@echo 'make chat                    chat with an artist in a browser; offline unless OPENAI_API_KEY is set'
	@echo 'make test                    run all tests, offline'
	@echo 'make check                   check style, formatting and types'
	@echo 'make package                 build the package, install it outside the checkout, run the demo; part of CI'
	@echo 'make wheels [EXTRAS="web cli"] the same with each extra, with pip and uv, from wheel and sdist'
	@echo 'make floor | make ceiling    run the tests with the oldest and the newest dependencies'
	@echo 'make bench                   compare time and memory with other clients; writes benchmarks/RESULTS.md'
	@echo 'make faults                  count the pictures bought and delivered under faults; writes docs/faults.md'
	@echo 'make soak                    draw 10,000 pictures in one process, fail on growth; writes benchmarks/SOAK.md'
	@echo 'make workers                 run 200 threads of five turns through two worker processes'
	@echo 'make audit                   look up known vulnerabilities of the dependencies; needs the network'
	@echo 'make record                  record the cassettes again'
	@echo 'make notebooks               run the notebooks again, in place'
	@echo 'make pictures                draw the pictures of README again; needs Chromium'
	@echo 'make docs                    build the documentation into site/; to read it: python3 -m http.server -d site'
	@echo 'make clean                   remove environments, caches, demo/, dist/ and chats'
	@echo
	@echo 'The first command sets up .venv with $(PYTHON); PYTHON=… selects another Python, 3.11 or later.'

demo: .venv/ready
	@$(BIN)/python examples/demo.py $${PROMPT:+"$$PROMPT"}

chat: .venv/serving
	@exec $(BIN)/python examples/chat/run.py

test: .venv/tested .venv-standard/ready
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore tests/chat $(PYTEST)
	$(BIN)/python -m pytest tests/chat $(PYTEST)
	$(STANDARD)/python -m pytest tests/standard $(PYTEST)

check: .venv/tested
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

package: .venv/tested
	@$(BIN)/python tools/wheels.py --quick

wheels: .venv/tested
	@$(BIN)/python tools/wheels.py $(EXTRAS)

floor ceiling: .venv/tested
	@$(BIN)/python tools/versions.py $@ $(PYTEST)

bench: .venv/tested
	$(BIN)/python -m benchmarks.extract
	$(BIN)/python -m benchmarks

soak: .venv/tested
	$(BIN)/python -m benchmarks.soak --write

workers: .venv/tested
	IMAGEGEN_THREADS=200 $(BIN)/python -m pytest -s tests/agents/test_workers.py

audit: .venv-audit/ready
	@$(AUDIT)/python tools/audit.py

faults: .venv/tested
	$(BIN)/python -m tests.faults

record: .venv/tested
	$(BIN)/python cassettes/record.py

notebooks: .venv/tested
	$(BIN)/python notebooks/run.py

pictures: .venv/tested
	$(BIN)/python tools/pictures.py

docs: .venv/tested
	$(BIN)/python tools/site_pages.py
	$(BIN)/python -m zensical build --clean --strict

clean:
	rm -rf .venv .venv-standard .venv-audit site .cache docs/examples docs/project demo examples/chat/.langgraph_api dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

# langchain-tests needs vcrpy before 9 and our own tests need 9, so there are two environments.
.venv/ready: WANTED = -e ".[all]"
.venv/serving: WANTED = -e ".[all]" --group server
.venv/tested: WANTED = -e ".[all]" --group test --group bench --group lint --group release --group docs
.venv-standard/ready: WANTED = -e ".[simulator]" --group standard
.venv-audit/ready: WANTED = -e ".[all]" --group audit

.venv/tested .venv/serving: .venv/ready
.venv/ready .venv/tested .venv/serving .venv-standard/ready .venv-audit/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo '$(PYTHON) is not Python 3.11 or later: select another one, as in "make PYTHON=python3.12 …"' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo '$(PYTHON) cannot create virtual environments: install its venv module (on Debian and Ubuntu: apt-get install python3-venv)' >&2; exit 1; }
	@test -x $(@D)/bin/pip || $(PYTHON) -m venv $(@D)
	@echo 'installing into $(@D) …'
	@$(@D)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(@D)/bin/python -m pip install --quiet --no-compile $(WANTED)
	@touch $@
