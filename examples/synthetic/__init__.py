"""Algorithm 1 against the full reverse diffusion, where every score is known: ``python -m examples.synthetic``."""
