"""``python -m subspace_sde``: the command line."""

from .cli import main

main()
