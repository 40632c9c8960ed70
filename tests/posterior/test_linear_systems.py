"""Conjugate gradients against a direct solution."""

import numpy as np

from subspace_sde.posterior import conjugate_gradients


def test_conjugate_gradients(like, array, host, eps):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    m, b = root @ root.T + np.eye(6), rng.standard_normal((4, 2, 3))
    b[2] = 0
    mine = array(m)

    def operator(x):
        return (x.reshape(-1, 6) @ mine).reshape(x.shape)

    x = host(conjugate_gradients(operator, array(b), 2))
    np.testing.assert_allclose(x.reshape(4, 6), np.linalg.solve(m, b.reshape(4, 6).T).T, atol=1e3 * eps)
    assert np.all(x[2] == 0)
    # singular, with b in the range: a solution all the same
    flat = array(np.diag([1.0, 2.0, 0.0]))
    found = host(conjugate_gradients(lambda v: v @ flat, array([[1.0, 1.0, 0.0]]), 1))
    np.testing.assert_allclose(found, [[1.0, 0.5, 0.0]], atol=100 * eps)
