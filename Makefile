# make          .venv, install, render: _output/report.html and _output/report.pdf
# make test     the tests
# make help     the rest
#
# Works with GNU make 3.81 and later and /bin/sh; needs Python 3.11 to 3.13 on PATH (or PYTHON=...), nothing else.
# Every path is relative, so that the project may lie under a path with spaces or Persian letters.

SHELL   := /bin/sh
PY      := .venv/bin/python
# In locale C, Python before 3.13 cannot start from a .venv under a path with Persian letters (site.py reads .pth files).
ifneq ($(filter C POSIX,$(LC_ALL)),)
export LC_ALL := C.UTF-8
endif
# Which results: those of a full training, of an evening's, or of a smoke test; their document has its own folder.
PROFILE ?= full
ifneq ($(PROFILE),full)
export GENMODELS_PROFILE := $(PROFILE)
endif
OUT     := _output$(if $(filter-out full,$(PROFILE)),/$(PROFILE))
STAGE   ?=
ONLY    ?=
FRESH   ?=
NEEDED  ?=
WITH_WEIGHTS ?=
LIGHT   ?=
# For `make submission`: taken letter by letter (make would expand a $), and given to the shell as variables, so that no quote
# or space in a name can hurt.
override STUDENT := $(value STUDENT)
override ID      := $(value ID)
export STUDENT ID

# What the report is made from. A missing output file asks for rendering too.
SOURCES := $(wildcard report.qmd _quarto.yml _environment references.bib) \
  $(shell find code assets cache -type f ! -path '*/__pycache__/*' ! -path '*.egg-info/*' ! -path '*/.*' \
          ! -path 'cache/checkpoints/*' ! -iname desktop.ini ! -iname thumbs.db ! -path '*/__MACOSX/*' 2>/dev/null)
MISSING := $(if $(FRESH),force,$(if $(wildcard $(OUT)/report.html),$(if $(wildcard $(OUT)/report.pdf),,force),force))

.PHONY: report install test train verify status bench data submission clean distclean help force
.DELETE_ON_ERROR:

report: $(OUT)/.rendered

$(OUT)/.rendered: .venv/.installed $(SOURCES) $(MISSING)
	@mkdir -p $(OUT) && rm -f $(OUT)/rubric.json
	@$(PY) -m genmodels render $(if $(FRESH),--fresh) $(if $(LIGHT),--light)
	@mkdir -p $(OUT) && touch $@

install: .venv/.installed

# Asks for an installation: an interpreter that is gone, a half-made .venv, a project that was moved or copied.
BROKEN  := $(shell $(PY) -c 'import os, pip, genmodels; assert os.path.samefile(genmodels.__path__[0], "code/genmodels")' \
             2>/dev/null || echo force)

# --no-compile: Python compiles what is imported when it is; all of it, 14,000 files, takes a minute and is never needed.
.venv/.installed: pyproject.toml constraints.txt $(BROKEN)
	@if ! $(PY) -c 'import pip' 2>/dev/null; then \
	  for candidate in "$(PYTHON)" python3.11 python3.12 python3.13 python3 python; do \
	    if [ -n "$$candidate" ] && "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	       >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$chosen" ]; then \
	    echo "no Python 3.11, 3.12 or 3.13 with venv was found; install one (Debian: python3.11-venv) or say make PYTHON=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	  echo "making .venv with $$chosen ($$("$$chosen" --version))"; \
	  "$$chosen" -m venv --clear .venv; \
	fi
	@echo 'installing the pinned packages into .venv (some minutes)'
	$(PY) -m pip install --disable-pip-version-check --no-compile --quiet -c constraints.txt -e '.[test]'
	@touch $@

test: .venv/.installed
	$(PY) -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ONLY)

train: .venv/.installed
	$(PY) -m genmodels train $(STAGE) --profile $(PROFILE) $(if $(NEEDED),--needed)

verify: .venv/.installed
	$(PY) -m genmodels verify $(STAGE) --profile $(PROFILE)

status: .venv/.installed
	@$(PY) -m genmodels status --profile $(PROFILE)

bench: .venv/.installed
	$(PY) -m genmodels bench

data: .venv/.installed
	$(PY) -m genmodels data

submission: .venv/.installed
	@$(PY) -m genmodels submission --student="$$STUDENT" --id="$$ID" $(if $(WITH_WEIGHTS),--with-weights) $(if $(FRESH),--fresh) $(if $(LIGHT),--light)

# The shipped results in cache/ and the raw data in data/ stay.
clean:
	rm -rf _output .quarto .pytest_cache .hypothesis report_files
	find code tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv

help:
	@echo 'make                 install into .venv and render _output/report.html and _output/report.pdf'
	@echo 'make FRESH=1         the same, executing every chunk also where nothing but prose has changed since the last time'
	@echo 'make test            run the tests (ONLY=tests/test_mnist.py for some of them)'
	@echo 'make data            fetch MNIST and the Persian Wikipedia text into GENMODELS_DATA or data/'
	@echo 'make train           train every stage one after the other (PROFILE=full|evening|smoke, STAGE="pixelcnn rnn transformer",'
	@echo '                     NEEDED=1: also what has to follow); make PROFILE=evening renders those results into _output/evening'
	@echo 'make status          every stage: whose result, of which data, what is stale, how long it takes (PROFILE=)'
	@echo 'make verify          try to contradict the shipped results in cache/ (PROFILE=, STAGE=)'
	@echo 'make submission      STUDENT="..." ID="...": one zip to hand in, in _output/ (WITH_WEIGHTS=1: 120 MB)'
	@echo 'LIGHT=1              for make and make submission: an HTML page without its models'
	@echo 'make bench           measure the stages speed-… on this machine and print them'
	@echo 'make clean           delete what rendering and testing made; cache/ and data/ stay (distclean: .venv too)'
	@echo 'PYTHON=/path/python  the interpreter .venv is made with (default: the first of 3.11, 3.12, 3.13 found)'
