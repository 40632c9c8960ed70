# Everything starts from a bare clone: Python 3.11 or newer and make are enough.
#
#   make demo      photographs to samples, with the trained weights that ship here: runs/demo/report.html
#   make test      all that CI runs
#   make examples  sound and video, and the tutorials of the documentation
#   make weights   train the demo's network again (hours on a CPU, minutes on a GPU)
#   make bench     the benchmarks behind the performance claims
#   make mutants MODULE=subspace_sde/process.py    faults planted in a module or a room, and whether its tests see them

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

SIDE   := --numprocesses=auto --maxprocesses=4 --dist=loadfile

CORE   := tests/backends/test_numpy.py tests/subspaces/test_coordinate_scale.py tests/subspaces/test_laws.py \
	tests/subspaces/test_nesting.py tests/sdes/test_spacings.py tests/process/test_fit_moments.py \
	tests/oracles/test_empirical.py tests/oracles/test_low_rank.py tests/measurements tests/posterior/test_runs.py \
	tests/solvers/test_every_solver.py tests/sampling/test_chunks.py tests/likelihood/test_encoding.py \
	tests/planning/test_plan_files.py

.PHONY: demo test lint types unit docs examples wheel oldest weights bench mutants clean

demo: $(VENV)/images
	$(BIN)/python -m examples.images run --data builtin --weights examples/images/weights --out runs/demo
	@echo "open runs/demo/report.html"

test: lint types unit docs examples wheel oldest

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev
	$(BIN)/mypy

# The libraries are named: where one is missing the tests fail, they do not shrink.
unit: export LIBRARIES = numpy torch jax array_api_strict dask
unit: $(VENV)/dev
	$(BIN)/python -m pytest $(SIDE) --durations=10
	$(BIN)/python -m pytest $(SIDE) --doctest-modules subspace_sde examples docs/docstrings.py --ignore examples/plugin
	$(BIN)/python -m pytest $(SIDE) --markdown-docs README.md docs

# With the tutorials run anew: what is cached knows of their text alone.
docs: export OMP_NUM_THREADS = 1
docs: $(VENV)/dev
	rm -rf build/tutorials
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Sound and video from end to end, with less training and fewer samples than their pages show.
examples: export OMP_NUM_THREADS = 1
examples: $(VENV)/dev docs
	$(BIN)/python -m examples.sound --train-steps 30 --data 64 --num 6 --steps 12 --threshold 0.1 --out build/sound
	$(BIN)/python -m examples.video --train-steps 40 --data 500 --num 12 --steps 12 --threshold 0.1 --out build/video

# The wheel is built here and imported in an environment that has nothing else.
wheel: $(VENV)/dev
	rm -rf build/wheel && $(BIN)/python -m build --wheel --no-isolation --outdir build/wheel . > /dev/null
	$(PYTHON) -m venv --clear build/empty
	build/empty/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt build/wheel/*.whl
	cd build && empty/bin/python -c "import subspace_sde, sys; \
		from subspace_sde.oracles import Gaussian; import numpy as np; \
		from subspace_sde import *; \
		halves = NestedSubspaces([Downsampling((8, 8), 2)]); sde = VE(); \
		normal = Gaussian(np.zeros((8, 8)), np.eye(64)); \
		x = sample(SubspaceSDE(sde, halves, [0.5], [1.0]), [normal.restrict(u).score(sde) for u in halves], 4, steps=10).x; \
		assert x.shape == (4, 8, 8) and 'torch' not in sys.modules; print('the wheel works:', subspace_sde.__file__)"

# The core tests with the oldest versions allowed, on numpy alone; numpy 1.26 knows Python 3.12 at most.
oldest:
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then \
		echo "make oldest: numpy 1.26 needs Python 3.11 or 3.12, give one as PYTHON=...; not run"; \
	else \
		$(PYTHON) -m venv --clear build/oldest && \
		build/oldest/bin/python -m pip install --quiet --disable-pip-version-check \
			--constraint constraints-oldest.txt --editable . hypothesis pytest PyWavelets && \
		LIBRARIES=numpy build/oldest/bin/python -m pytest $(CORE); \
	fi

weights: $(VENV)/images
	sh examples/images/train-weights.sh $(BIN)/python

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks.project
	$(BIN)/python -m benchmarks.libraries
	$(BIN)/python -m benchmarks.divergence
	$(BIN)/python -m benchmarks.level_error
	$(BIN)/python -m benchmarks.pca builtin
	$(BIN)/python -m benchmarks.transforms
	$(BIN)/python -m benchmarks.architectures
	$(BIN)/python -m benchmarks.solver_orders
	$(BIN)/python -m benchmarks.solver_costs
	$(BIN)/python -m benchmarks.solver_accuracy
	$(BIN)/python -m benchmarks.sampling
	$(BIN)/python -m benchmarks.likelihood

MODULE ?= subspace_sde/process.py

mutants: $(VENV)/mutants
	nice -n 15 $(BIN)/python -m benchmarks.mutants $(MODULE)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/images: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[images]"
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[dev]"
	touch $@ $(VENV)/images

$(VENV)/mutants: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[mutants]"
	touch $@ $(VENV)/dev $(VENV)/images

clean:
	rm -rf $(VENV) build site runs
