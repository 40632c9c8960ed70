"""The probability flow (eq. 3): likelihoods, and latents, in stages or with the full score."""

from .bins import Bins
from .density import Form, FullScore, Likelihood, Staged, log_likelihood
from .encoding import decode, encode, interpolate, latent_parts
from .traces import Exact, Hutchinson, Trace, gaussian, rademacher

__all__ = [
    "Bins",
    "Exact",
    "Form",
    "FullScore",
    "Hutchinson",
    "Likelihood",
    "Staged",
    "Trace",
    "decode",
    "encode",
    "gaussian",
    "interpolate",
    "latent_parts",
    "log_likelihood",
    "rademacher",
]
