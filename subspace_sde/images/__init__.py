"""Images from where people have them, as arrays: photographs, folders, ``.npz``, Parquet, the Hugging Face hub.

Everything is kept as uint8 ``(N, C, H, W)``, one channel where all images are grey, else three; `to_unit` turns a batch
into floats in [0, 1], the data range of every figure of this project. Needs the extra ``images``.
"""

from .batches import Images, to_unit, unit_batches
from .grid import save_grid
from .loading import load
from .photographs import photos

__all__ = ["Images", "load", "photos", "save_grid", "to_unit", "unit_batches"]
