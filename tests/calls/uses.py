"""A right call of everything public: solvers, sampling and what stands on them."""

import numpy as np
import torch

from subspace_sde import (
    VE,
    analysis,
    array_data,
    backend,
    diffusers,
    images,
    likelihood,
    measurements,
    oracles,
    plotting,
    posterior,
    sampling,
    solvers,
    specification,
    subspaces,
    testing,
)
from subspace_sde.backend import backend_of
from tests.calls.objects import (
    ARRAY,
    CURVES,
    DATA,
    FOLDER,
    HALF,
    NORMAL,
    PICTURES,
    PLAN,
    POOL,
    PROCESS,
    SCORES,
    SEEN,
    X,
    conditional,
)
from tests.diffusers.networks import unet
from tests.diffusers.pipelines import levels, pictures, pipeline
from tests.diffusers.text_networks import autoencoder

PIPE = pipeline(
    levels(subspaces=subspaces.NestedSubspaces([subspaces.LowPass((3, 8, 12), (4, 6))]), times=[0.4]),
    unet=unet(num_class_embeds=4),
    null_label=3,
)
SCHEDULER = PIPE.scheduler
SCHEDULER.set_timesteps(4)

CALLS = {
    # networks of diffusers
    "pretrained": (diffusers.pretrained, {"source": (unet(), SCHEDULER)}),
    "SubspacePipeline": (
        diffusers.SubspacePipeline,
        {
            "unet": unet(num_class_embeds=4),
            "scheduler": SCHEDULER,
            "unet_1": unet(num_class_embeds=4, sample_size=(4, 6)),
            "process": PIPE.process,
            "null_label": 3,
        },
    ),
    "SubspacePipeline.from_pipe": (
        diffusers.SubspacePipeline.from_pipe,
        {"pipe": (unet(), SCHEDULER), "plan": [(4, 6)], "data": pictures(8), "threshold": 1.0, "null_label": None},
    ),
    "SubspacePipeline()": (
        PIPE,
        {
            "batch_size": 2,
            "generator": [torch.Generator(), torch.Generator()],
            "num_inference_steps": 4,
            "solver": solvers.DDIM(),
            "class_labels": [0, 1],
            "guidance_scale": 2.0,
            "output_type": "np",
            "return_dict": True,
            "callback_on_step_end": lambda pipe, step, t, kept: kept,
        },
    ),
    "encode_images": (diffusers.encode_images, {"vae": autoencoder(), "images": pictures(2)}),
    "decode_latents": (diffusers.decode_latents, {"vae": autoencoder(), "latents": np.zeros((2, 4, 4, 6))}),
    "levels_of": (
        diffusers.levels_of,
        {"vae": autoencoder(), "images": pictures(3), "subspace": subspaces.LowPass((4, 4, 6), (4, 4))},
    ),
    "from_scheduler": (diffusers.from_scheduler, {"scheduler": SCHEDULER}),
    # sampling
    "sample": (
        sampling.sample,
        {
            "process": PROCESS,
            "scores": SCORES,
            "num": 2,
            "solver": solvers.Heun(),
            "steps": 4,
            "rng": 0,
            "like": np.zeros(()),
            "langevin": solvers.Langevin(1),
            "trajectory": False,
            "spacing": sampling.UniformTime(),
            "start": sampling.Start(np.zeros((4, 4)), t=0.7),
            "chunk": 2,
            "callback": lambda step: None,
        },
    ),
    "sample from a given x(T)": (
        sampling.sample,
        {"process": PROCESS, "scores": SCORES, "num": 2, "steps": 4, "noise": np.zeros((2, 4, 4)), "denoise": True},
    ),
    "sample with labels": (
        sampling.sample,
        {"process": PROCESS, "scores": [conditional] * 2, "num": 2, "steps": 4, "condition": np.zeros(2)},
    ),
    "sample with a condition of several arrays": (
        sampling.sample,
        {
            "process": PROCESS,
            "scores": [conditional] * 2,
            "num": 2,
            "steps": 4,
            "condition": {"labels": np.zeros(2), "words": np.zeros((2, 5))},
        },
    ),
    "Start": (
        lambda x, level, t: sampling.sample(PROCESS, SCORES, 2, steps=4, start=sampling.Start(x, level, t)),
        {"x": np.zeros((2, 2)), "level": 1, "t": 0.7},
    ),
    "Rho": (sampling.Rho, {"rho": 7.0}),
    "AlongTimes": (sampling.AlongTimes, {"times": [1.0, 0.5, 0.0], "sde": VE()}),
    "grid": (sampling.grid, {"sde": VE(), "steps": 3, "spacing": sampling.UniformTime()}),
    "stage_times": (sampling.stage_times, {"process": PROCESS, "steps": 4, "spacing": sampling.UniformTime()}),
    "law_of_samples": (sampling.law_of_samples, {"process": PROCESS, "data": NORMAL, "eta": 0.0, "level": 0}),
    "sampled_law": (
        sampling.sampled_law,
        {
            "process": PROCESS,
            "scores": SCORES,
            "solver": solvers.Heun(),
            "steps": 4,
            "spacing": sampling.UniformTime(),
            "progress": False,
        },
    ),
    # solvers
    "DDIM": (solvers.DDIM, {"eta": 0.0}),
    "DPMSolver": (solvers.DPMSolver, {"order": 2, "eta": 0.0}),
    "DormandPrince": (solvers.DormandPrince, {"rtol": 1e-3, "atol": 1e-3}),
    "Heun": (solvers.Heun, {"churn": 0.1, "churn_range": (0.0, 50.0), "churn_std": 1.0}),
    "Langevin": (solvers.Langevin, {"steps": 1, "snr": 0.16, "complement_only": True}),
    "PredictorCorrector": (
        solvers.PredictorCorrector,
        {"predictor": solvers.Heun(), "corrector": solvers.Langevin()},
    ),
    # likelihood
    "log_likelihood": (
        likelihood.log_likelihood,
        {
            "process": PROCESS,
            "scores": SCORES,
            "x": np.zeros((3, 4, 4)),
            "form": likelihood.Staged(),
            "solver": solvers.Heun(),
            "steps": 4,
            "trace": likelihood.Hutchinson(),
            "rng": 0,
            "bins": likelihood.Bins(low=0.0, high=1.0),
            "spacing": sampling.UniformTime(),
            "chunk": 2,
            "progress": False,
        },
    ),
    "encode": (
        likelihood.encode,
        {
            "process": PROCESS,
            "scores": SCORES,
            "x": X,
            "solver": solvers.Heun(),
            "steps": 4,
            "spacing": sampling.UniformTime(),
            "progress": False,
        },
    ),
    "decode": (
        likelihood.decode,
        {
            "process": PROCESS,
            "scores": SCORES,
            "z": X,
            "solver": solvers.Heun(),
            "steps": 4,
            "spacing": sampling.UniformTime(),
            "progress": False,
        },
    ),
    "latent_parts": (likelihood.latent_parts, {"process": PROCESS, "z": X}),
    "interpolate": (likelihood.interpolate, {"a": X, "b": X[::-1].copy(), "weights": [0.0, 0.5]}),
    "Bins": (likelihood.Bins, {"count": 256, "low": 0.0, "high": 1.0, "repeats": 1}),
    "Exact": (likelihood.Exact, {"at_once": 64}),
    "Hutchinson": (likelihood.Hutchinson, {"probes": 1, "distribution": likelihood.rademacher}),
    "FullScore": (likelihood.FullScore, {"analytic": True}),
    # measurements and posteriors
    "Blur": (measurements.Blur, {"shape": (4, 4), "kernel": [0.25, 0.5, 0.25], "axes": (-2, -1)}),
    "Dense": (measurements.Dense, {"matrix": np.eye(16)[:3], "ambient_shape": (4, 4)}),
    "FourierMask": (measurements.FourierMask, {"mask": np.ones((4, 4)), "shape": (4, 4)}),
    "Mask": (measurements.Mask, {"mask": np.eye(4), "shape": (4, 4)}),
    "Mixing": (measurements.Mixing, {"shape": (3, 4, 4), "matrix": [[0.3, 0.3, 0.4]], "axis": -3}),
    "Pooling": (measurements.Pooling, {"shape": (4, 4), "factor": 2, "axes": (-2, -1)}),
    "Observation": (
        posterior.Observation,
        {"measurement": POOL, "y": np.zeros((2, 2)), "noise": 0.1, "iterations": 10},
    ),
    "PiGDM": (posterior.PiGDM, {"variance": 1.0, "weight": 1.0}),
    "DPS": (posterior.DPS, {"weight": 1.0}),
    "Replacement": (posterior.Replacement, {"otherwise": posterior.PiGDM(), "least": 0.5}),
    "RePaint": (
        posterior.RePaint,
        {"resamplings": 2, "jump": 2, "otherwise": posterior.PiGDM(), "least": 0.5},
    ),
    "conjugate_gradients": (
        posterior.conjugate_gradients,
        {"operator": lambda x: x, "b": X, "trailing": 2, "iterations": 3},
    ),
    "sample_posterior": (
        posterior.sample_posterior,
        {
            "process": PROCESS,
            "scores": SCORES,
            "observation": SEEN,
            "num": 2,
            "method": posterior.PiGDM(),
            "solver": solvers.Heun(),
            "steps": 4,
            "rng": 0,
            "trajectory": False,
            "full": False,
            "spacing": sampling.UniformTime(),
            "start": None,
            "chunk": 2,
            "callback": lambda step: None,
            "largest": 4096,
        },
    ),
    "check_measurement": (
        measurements.check_measurement,
        {"measurement": POOL, "like": np.zeros(()), "tolerance": 1e-6},
    ),
    # oracles
    "Gaussian": (oracles.Gaussian, {"mean": np.zeros(3), "covariance": np.eye(3), "tolerance": 1e-10}),
    "DCTGaussian": (oracles.DCTGaussian, {"mean": np.zeros(3), "power": np.ones(3)}),
    "LowRankGaussian": (
        oracles.LowRankGaussian,
        {"mean": np.zeros(3), "factors": np.ones((3, 1)), "diagonal": np.ones(3)},
    ),
    "Mixture": (oracles.Mixture, {"weights": [1.0], "components": [NORMAL]}),
    "Empirical": (oracles.Empirical, {"data": DATA}),
    "dct_basis": (oracles.dct_basis, {"shape": (4, 4)}),
    "Oracle.sample": (NORMAL.sample, {"num": 2, "rng": 0, "like": np.zeros(())}),
    "Oracle.sample_at": (NORMAL.sample_at, {"t": 0.5, "sde": VE(), "num": 2, "rng": 0, "like": np.zeros(())}),
    "Oracle.score": (NORMAL.score, {"sde": VE()}),
    "Oracle.log_density": (NORMAL.log_density, {"x": X, "t": 0.5, "sde": VE()}),
    "Oracle.restrict": (NORMAL.restrict, {"subspace": HALF}),
    "an oracle's score": (SCORES[0], {"x": X, "t": 0.5}),
    # analysis, images, pictures
    "analyse": (
        analysis.analyse,
        {
            "data": PICTURES,
            "names": ["lowpass:3"],
            "sde": VE(),
            "threshold": 3e-3,
            "max_levels": 1,
            "multiple_of": 4,
            "price": 0.02,
        },
    ),
    "candidate_subspaces": (
        analysis.candidate_subspaces,
        {"shape": (3, 8, 8), "multiple_of": 4, "axes": (-2, -1), "apart": True},
    ),
    "subspace_named": (analysis.subspace_named, {"name": "lowpass:4", "shape": (3, 8, 8), "axes": (-2, -1)}),
    "ArrayData": (array_data.ArrayData, {"numbers": DATA, "scale": 2.0, "axes": (-2, -1), "name": "noise"}),
    "ArrayData.open": (array_data.ArrayData.open, {"path": ARRAY, "array": None, "scale": 2.0, "axes": -1}),
    "holds_arrays": (array_data.holds_arrays, {"path": ARRAY}),
    "to_unit": (images.to_unit, {"images": PICTURES.held_out}),
    "unit_batches": (lambda **given: list(images.unit_batches(**given)), {"images": PICTURES.held_out, "size": 4}),
    "load": (images.load, {"source": "builtin", "size": 8, "seed": 0, "skip_bad": True, "channels": 3}),
    "photos": (images.photos, {"size": 8, "train": 4, "held_out": 2, "seed": 0}),
    "save_grid": (
        images.save_grid,
        {"images": PICTURES.held_out, "path": FOLDER / "grid.png", "columns": 2, "zoom": 1},
    ),
    "divergence_curves": (plotting.divergence_curves, {"curves": {"half": CURVES[0]}, "threshold": 3e-3}),
    "cost_against_threshold": (
        plotting.cost_against_threshold,
        {"thresholds": [1e-3, 1e-2], "costs": {"K = 1": [0.6, 0.5]}},
    ),
    "plan_bar": (plotting.plan_bar, {"plan": PLAN}),
    "basis_vectors": (plotting.basis_vectors, {"subspace": HALF, "num": 2, "columns": 2, "axes": -1}),
    "projections": (
        plotting.projections,
        {"x": np.abs(np.sin(DATA[:2])), "subspaces": {"half": HALF}, "axes": (-2, -1)},
    ),
    "power_spectrum": (plotting.power_spectrum, {"power": {"white": np.ones((4, 4))}}),
    # specification, randomness, laws
    "specify": (specification.specify, {"thing": VE()}),
    "register": (specification.register, {"kind": subspaces.LowPass}),
    "build": (specification.build, {"specification": specification.specify(VE())}),
    "streams": (backend.streams, {"seed": 0, "start": 0, "stop": 3}),
    "check_subspace": (
        testing.check_subspace,
        {
            "subspace": HALF,
            "like": np.zeros(()),
            "tolerance": 1e-6,
            "outer": subspaces.Identity((4, 4)),
            "expected_failures": {},
        },
    ),
    "check_sde": (testing.check_sde, {"sde": VE(), "like": np.zeros(()), "expected_failures": {}}),
    "check_backend": (
        testing.check_backend,
        {"backend": backend_of(DATA), "like": np.zeros(()), "expected_failures": {}},
    ),
    "check_score": (
        testing.check_score,
        {
            "score": SCORES[0],
            "sde": VE(),
            "shape": (4, 4),
            "like": np.zeros(()),
            "tolerance": 1e-6,
            "expected_failures": {},
        },
    ),
    "check_solver": (
        testing.check_solver,
        {"solver": solvers.DDIM(), "order": 1.0, "eta": 0.0, "like": np.zeros(()), "expected_failures": {}},
    ),
    "laws": (testing.laws, {"subject": VE(), "like": np.zeros(()), "expected_failures": {}}),
}
