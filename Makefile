# Every target calls dev.py, which does all set-up itself.
# Arguments: make test ARGS="-k stats", make bench ARGS=name, make demo ARGS=--light
PYTHON ?= python3
ARGS ?=

.PHONY: help demo test check bench setup lock clean

help:
	@$(PYTHON) dev.py --help

demo test check bench setup lock clean:
	@$(PYTHON) dev.py $@ $(ARGS)
