"""Subspace diffusion of sound, one second at 16 kHz: ``python -m examples.sound``."""
