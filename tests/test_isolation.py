"""What importing and using the package does not bring in."""

import subprocess
import sys

import pytest

FOREIGN = (
    "torch",
    "jax",
    "matplotlib",
    "sympy",
    "PIL",
    "diffusers",
    "accelerate",
    "sklearn",
    "skimage",
    "pywt",
    "dask",
    "hypothesis",
)

IMPORT = (
    "import subspace_sde, subspace_sde.oracles, subspace_sde.losses, subspace_sde.scores, subspace_sde.testing, "
    "subspace_sde.diffusers"
)
NUMPY_ONLY = """
import numpy as np
from subspace_sde import VE, EDM, Downsampling, LowPass, NestedSubspaces, SubspaceSDE, sample
from subspace_sde import orthogonal_fisher_divergence
from subspace_sde.oracles import Gaussian
from subspace_sde.testing import check_sde, check_subspace

nested = NestedSubspaces([Downsampling((4, 4), 2), LowPass((2, 2), 1)])
data = Gaussian(np.zeros((4, 4)), np.diag(np.arange(1.0, 17.0)))
x0 = data.sample(16, rng=0)
process = SubspaceSDE.fit(VE(), nested, [0.5, 0.7], x0)
scores = [data.restrict(level).score(process.sde) for level in nested]
found = sample(process, scores, num=3, steps=12)
assert np.all(np.isfinite(found.x))
orthogonal_fisher_divergence(scores[0], x0, process.sde, nested[1:], times=[0.5, 0.6])
check_subspace(nested[2])
check_sde(EDM())
"""


WHERE_USED = ("scipy", "importlib.metadata", "tqdm")
"""Dependencies and slow parts of the standard library, more than half of the time that the import once took."""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [(IMPORT, FOREIGN + WHERE_USED), (NUMPY_ONLY, FOREIGN)],
    ids=["import", "a run on numpy"],
)
def test_nothing_foreign_is_imported(code, unwanted):
    report = f"import sys; print(*sorted(set(sys.modules) & set({unwanted!r})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
