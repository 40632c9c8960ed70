# %% [markdown]
# # Which subspace for my data?
#
# Before anything is trained, the data themselves say in which smaller arrays a
# diffusion may run, from which noise on, and what that saves. Here they are small
# photographs; sound, volumes and vectors go the same way, and the last cell does all of
# it in one call.

# %%
# %matplotlib inline
import numpy as np

from subspace_sde import (
    VE,
    Downsampling,
    LowPass,
    Wavelet,
    gaussian_divergence,
    patch_pca,
    pca,
    plan,
    rmsd,
)
from subspace_sde.analysis import analyse
from subspace_sde.array_data import ArrayData
from subspace_sde.images import photos, to_unit
from subspace_sde.plotting import (
    cost_against_threshold,
    divergence_curves,
    plan_bar,
    projections,
)
from subspace_sde.statistics import Covariance, accumulate

photographs = photos(16, train=2000, held_out=100)
images = to_unit(photographs.train)  # or any array (N, *shape) of floats
sde = VE(0.01, 50.0)  # for pixels in [0, 1]; `ve_for` finds the range for other data
images.shape, images.dtype

# %% [markdown]
# ## What each subspace keeps
#
# Five ways to keep a quarter of the numbers. `LowPass`, `Downsampling` and `Wavelet`
# are known beforehand; principal components, of patches or of whole images, are read
# off the data.

# %%
shape = images.shape[1:]
candidates = {
    "block means": Downsampling(shape, 2),
    "wavelet": Wavelet(shape, "sym4"),
    "patch PCA": patch_pca(images, 2, 3),
    "low-pass": LowPass(shape, 8),
    "PCA": pca(images, 192),
}
projections(images[:6], candidates)

# %% [markdown]
# `rmsd` is how far the data lie from a subspace, for each dimension that is left out.

# %%
distances = {name: rmsd(subspace, images) for name, subspace in candidates.items()}
for name, distance in distances.items():
    print(f"{name:12} {distance:.4f}   coordinates {candidates[name].shape}")
assert distances["PCA"] < distances["low-pass"] < distances["block means"]

# %% [markdown]
# Principal components of whole images leave least behind, but their coordinates are no
# image: no convolution can work on them. Of those with images for coordinates the
# low-pass is the best here.
#
# ## From when on
#
# The orthogonal Fisher divergence D_F says how much the score of what is left out still
# differs from that of plain noise. It falls as the noise grows, and the subspace may be
# used from the time on at which it is below a threshold. For a Gaussian with the data's
# covariance it has a closed form, and needs no network.

# %%
law = accumulate(Covariance, images).gaussian()
curves = dict(
    zip(
        candidates,
        gaussian_divergence(law, sde, list(candidates.values()), center=True),
    )
)
divergence_curves(curves, threshold=3e-3)

# %% [markdown]
# ## How many levels, and which
#
# A low-pass may have any size, so there are many candidates, and one may follow
# another. `plan` finds the chain that costs least; the cost of a step is the number of
# pixels that it sees, unless you say what a network takes.

# %%
sizes = [LowPass(shape, n) for n in range(2, 16, 2)]
size_curves = gaussian_divergence(law, sde, sizes, center=True)
plans = [plan(sizes, size_curves, threshold=3e-3, max_levels=k) for k in (1, 2, 3)]
for best in plans:
    chain = " → ".join(
        f"{u.shape[-1]} from t = {t:.2f}"
        for u, t in zip(list(best.subspaces)[1:], best.times)
    )
    print(f"{best.cost:.0%} of the full model's pixels: {chain}")
assert plans[2].cost <= plans[1].cost <= plans[0].cost < 0.65
plan_bar(plans[1])

# %% [markdown]
# The threshold is what accuracy costs: ten times smaller, and the switches come a
# little later. What an accuracy of the *samples* asks for is the subject of [another
# tutorial](../solver-and-levels/).

# %%
thresholds = np.geomspace(1e-4, 1e-1, 13)
costs = {
    f"{k} level{'s' * (k > 1)}": [
        plan(sizes, size_curves, threshold, max_levels=k).cost
        for threshold in thresholds
    ]
    for k in (1, 2, 3)
}
cost_against_threshold(thresholds, costs)

# %% [markdown]
# ## All of it in one call
#
# `analyse` tries the kinds and sizes that suit the shape, for arrays too that are no
# images; `subspace-sde analyse FILE` does so from the command line, and writes the plan
# and pictures. Here 1000 stereo signals of 256 numbers: of the two axes only the last
# may get shorter.

# %%
signals = np.random.default_rng(0).standard_normal((1000, 2, 256)).cumsum(axis=-1)
found = analyse(ArrayData(signals))
print(found.sde)
print(found.summary())
assert found.axes == (-1,) and found.plan.cost < 0.6
