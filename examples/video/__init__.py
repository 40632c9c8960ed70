"""Subspace diffusion of video with levels along time alone: ``python -m examples.video``."""
