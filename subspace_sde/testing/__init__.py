"""The laws, for anybody's subspace, SDE, score, solver or backend: one by one for a test runner, or all at once.

Each law draws its input from a fixed seed, and an AssertionError says which law failed, on what input, and by how much.
Nothing but numpy is needed: the checks work under any test runner, or none.
"""

from .backends import check_backend
from .dispatch import laws
from .kit import Law
from .scores import check_score
from .sdes import check_sde
from .solvers import check_solver
from .subspaces import check_subspace

__all__ = ["Law", "check_backend", "check_score", "check_sde", "check_solver", "check_subspace", "laws"]
