"""Values that are wrong nearly everywhere."""

import numpy as np
import torch

from subspace_sde import solvers

WRONG = {
    "None": None,
    "a string": "abc",
    "an object": object(),
    "a class": solvers.Heun,
    "a solver": solvers.Heun(),
    "a function": lambda *given: None,
    "3": 3,
    "0": 0,
    "-1": -1,
    "0.5": 0.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "10**30": 10**30,
    "True": True,
    "1j": 1j,
    "a list": [1, 2, 3],
    "an empty list": [],
    "a list of strings": ["a", "b"],
    "a list of None": [None],
    "a dict": {"a": 1},
    "an array": np.arange(3.0),
    "an integer array": np.arange(3),
    "an array of NaN": np.full((3, 4, 4), np.nan),
    "a complex array": np.ones((3, 4, 4), dtype=complex),
    "a masked array": np.ma.masked_array(np.ones((3, 4, 4)), mask=True),
    "an object array": np.asarray([None, "a"], dtype=object),
    "an empty array": np.zeros((0, 4, 4)),
    "a torch array": torch.zeros((3, 4, 4)),
}
