# %% [markdown]
# # Solver and levels: what an accuracy costs
#
# Two things shorten sampling: a solver that needs fewer steps, and levels on which a
# step costs less. How do they go together, and how small must the threshold be? For
# Gaussian data the exact law of what a sampler returns is known, steps, jumps and all,
# so that there is no network, no noise of sampling, and nothing to wait for.

# %%
import matplotlib.pyplot as plt
import numpy as np

from subspace_sde import (
    VE,
    LowPass,
    NestedSubspaces,
    SubspaceSDE,
    gaussian_divergence,
    plan,
    sample,
)
from subspace_sde.oracles import DCTGaussian, dct_basis
from subspace_sde.sampling import law_of_samples, sampled_law
from subspace_sde.solvers import DDIM, DPMSolver, EulerMaruyama, Heun

n = 64
sde = VE(0.01, 50.0)
data = DCTGaussian(
    np.zeros(n), 4 / np.arange(1, n + 1) ** 2
)  # signals whose power falls as 1/f²
axes = dct_basis((n,)).matrix()

# %% [markdown]
# The error of a sampler is the Wasserstein distance W₂ between the law of its samples
# and that of x(t_min), beside the data's standard deviation. Both are diagonal in the
# cosines, so it is a sum over their standard deviations. The cost is that of its
# evaluations, in evaluations of the full size.

# %%
target = np.sqrt(data.eigenvalues + sde.sigma(sde.t_min) ** 2)


def error(covariance):
    found = np.sqrt(np.diag(np.linalg.multi_dot([axes.T, covariance, axes])))
    return np.linalg.norm(found - target) / np.linalg.norm(target)


def cost(process, scores, solver, steps):
    calls = sample(process, scores, 1, solver, steps).evaluations
    return sum(c * level.dim for c, level in zip(calls, process.subspaces)) / n


def processes(threshold, max_levels):
    candidates = [LowPass((n,), m, axes=-1) for m in range(2, n, 2)]
    curves = gaussian_divergence(data, sde, candidates)
    best = plan(candidates, curves, threshold, max_levels=max_levels)
    power = data.eigenvalues
    lost = [
        power[b.dim : a.dim].mean()
        for a, b in zip(best.subspaces, list(best.subspaces)[1:])
    ]
    return SubspaceSDE(sde, best.subspaces, best.times, lost)


full = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(n,)), [], [])
staged = {levels: processes(1e-3, levels) for levels in (1, 2, 3)}
for process in staged.values():
    print(process.subspaces, [round(t, 2) for t in process.times])

# %% [markdown]
# ## Solvers, with and without levels
#
# Every point is a solver with a number of steps; further left is cheaper, further down
# is closer.


# %%
def scores(process):
    return [data.restrict(level).score(sde) for level in process.subspaces]


def points(process, solver, steps):
    laws = [sampled_law(process, scores(process), solver, k).covariance for k in steps]
    return [
        (cost(process, scores(process), solver, k), error(law))
        for k, law in zip(steps, laws)
    ]


steps = (6, 9, 13, 19, 28, 40)
solvers = {
    "Euler-Maruyama": EulerMaruyama(),
    "DDIM": DDIM(),
    "Heun": Heun(),
    "DPM-Solver++ 2M": DPMSolver(2),
}
table = {
    (name, levels): points(full if levels == 0 else staged[levels], solver, steps)
    for name, solver in solvers.items()
    for levels in (0, 2)
}

figure, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
for colour, name in zip(("C7", "C0", "C1", "C2"), solvers):
    for levels, style in ((0, "o--"), (2, "o-")):
        ax.loglog(
            *zip(*table[name, levels]),
            style,
            ms=4,
            color=colour,
            label=f"{name}, {levels} levels",
        )
ax.set(
    xlabel="cost, in evaluations of the full size",
    ylabel="error W₂, relative",
    ylim=(3e-3, 10),
)
ax.legend(fontsize=8, ncols=2)
ax.grid(alpha=0.3)

# %% [markdown]
# The levels move each curve to the left by nearly the same factor, whatever the solver:
# what the two save multiplies.


# %%
def least(name, levels, accuracy):
    return min((c for c, e in table[name, levels] if e <= accuracy), default=np.nan)


for name in solvers:
    one, other = least(name, 0, 0.1), least(name, 2, 0.1)
    print(f"{name:16} error 0.1: cost {one:5.1f} in full, {other:5.1f} on two levels")
assert (
    least("DPM-Solver++ 2M", 2, 0.1)
    < 0.7 * least("DPM-Solver++ 2M", 0, 0.1)
    < least("DDIM", 0, 0.1)
)

# %% [markdown]
# ## Where the staged curves end
#
# A perfect solver on levels is not perfect: what is injected at a switch is
# independent, isotropic noise, which the data's own complement only nearly is. The
# threshold on D_F sets how nearly. `law_of_samples` is the law of a perfect solver:

# %%
full_floor = error(law_of_samples(full, data).dense().covariance)
print(f"full space: {full_floor:.4f}, from starting in N(0, σ(T)²) and not in x(T)")
floors = {}
for threshold in (3e-2, 1e-2, 3e-3, 1e-3, 3e-4):
    process = processes(threshold, 2)
    floors[threshold] = error(law_of_samples(process, data).dense().covariance)
    share = cost(process, scores(process), DDIM(), 200) / 200
    print(f"D_F = {threshold:g}: {floors[threshold]:.4f}, at {share:.0%} of the cost")
assert floors[3e-4] < floors[3e-3] < floors[3e-2]

# %% [markdown]
# So choose the solver and its steps for the accuracy that you need, then a threshold
# whose floor lies below that. A smaller one costs more, and what it gains the solver's
# own error hides. With 13 steps of DPM-Solver++ on two levels:

# %%
for threshold in floors:
    process = processes(threshold, 2)
    ((price, found),) = points(process, DPMSolver(2), [13])
    print(f"D_F = {threshold:g}: cost {price:.1f}, error {found:.4f}")

# %% [markdown]
# ## More levels
#
# The first level saves most. A further one saves less, adds an injection whose error
# counts too, and costs a network, or nothing where [one network serves
# all](../half-the-cost/).

# %%
print(f"no level: cost {cost(full, scores(full), DPMSolver(2), 28):.1f}")
for levels, process in staged.items():
    ((price, found),) = points(process, DPMSolver(2), [28])
    print(f"{levels} level{'s' * (levels > 1)}: cost {price:.1f}, error {found:.4f}")
