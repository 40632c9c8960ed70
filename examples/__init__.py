"""Examples that plug networks and known scores into subspace_sde; each runs with ``python -m``."""
