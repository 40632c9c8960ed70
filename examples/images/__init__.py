"""From a folder of images to a subspace diffusion that samples: ``python -m examples.images --help``."""
