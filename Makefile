# Everything sets itself up in .venv from plain `python3 -m venv` and pip.
#   make run ARGS='...'   start hmp          make test    the suite
#   make check            lint and types     make bench   side by side with the real programs
#   make soak             hours of stories, damaged images and killed processes
#   make docs             the pictures of the screen, from real captures
#   make crash            cut every operation short at every place: is the image left sound?
PYTHON ?= python3
VENV := .venv
SOURCES := hmp machine blockdev

.PHONY: run test check bench crash docs soak setup

run: setup
	@$(VENV)/bin/hmp $(ARGS)

test: setup
	$(VENV)/bin/python -m pytest -n 4 --dist worksteal $(ARGS)

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

bench: setup
	$(VENV)/bin/python -m bench $(ARGS)

crash: setup
	@$(VENV)/bin/python -m tests.crash $(ARGS)

docs: setup
	@$(VENV)/bin/python -m docs $(ARGS)

soak: setup
	@$(VENV)/bin/python -m tests.soak $(ARGS)

# Byte code is compiled here, so that a start is quick also where Python may not write any.
setup: $(VENV)/ready
	@$(VENV)/bin/python -m compileall -q $(SOURCES)

# The compat mode puts the folder's path into a .pth file; other modes install an import hook,
# which every start would pay for.
$(VENV)/ready: pyproject.toml scripts/hmp scripts/hmp-img scripts/hmp-io
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--config-settings editable_mode=compat --editable '.[dev]'
	@touch $@
