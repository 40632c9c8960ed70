"""Solvers of the reverse diffusion, one file each; every one runs on every level and every SDE."""

from .base import Langevin, Solver
from .euler_maruyama import EulerMaruyama
from .heun import Heun

__all__ = ["EulerMaruyama", "Heun", "Langevin", "Solver"]
