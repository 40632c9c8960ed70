"""Subspace diffusion of vectors that are no images, waves in shallow water: ``python -m examples.fields``."""
