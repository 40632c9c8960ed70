"""Solvers of the reverse diffusion, one file each; every one runs on every level and every SDE."""

from .ancestral import Ancestral
from .base import SingleStep, Solver
from .ddim import DDIM
from .dormand_prince import DormandPrince
from .dpm_solver import DPMSolver
from .euler_maruyama import EulerMaruyama
from .heun import Heun
from .langevin import Langevin
from .predictor_corrector import PredictorCorrector
from .reverse_diffusion import ReverseDiffusion

__all__ = [
    "DDIM",
    "Ancestral",
    "DPMSolver",
    "DormandPrince",
    "EulerMaruyama",
    "Heun",
    "Langevin",
    "PredictorCorrector",
    "ReverseDiffusion",
    "SingleStep",
    "Solver",
]
