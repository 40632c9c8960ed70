"""The paper's identities, proved: U as letters that do not commute, with UᵀU = 1 as the only rule; curves as functions.

Nothing here is a number, so that what is shown holds for every subspace, dimension and isotropic SDE.
"""

import sympy
from sympy import Function, Matrix, Symbol, exp, log, sqrt

t, s = Symbol("t", positive=True), Symbol("s", positive=True)
K = 3
STEPS = [Symbol(f"U{k + 1}{k}", commutative=False) for k in range(K)]  # U_{k+1|k}
TRANSPOSED = dict(zip(STEPS, (Symbol(f"{u}t", commutative=False) for u in STEPS)))


def reduced(e):
    """An expression after U_{k+1|k}ᵀ U_{k+1|k} = 1, as often as it applies."""
    e, before = sympy.expand(e), None
    while e != before:
        before = e
        for u, ut in TRANSPOSED.items():
            e = sympy.expand(e.subs(ut * u, 1))
    return e


def product(factors):
    return sympy.Mul(*factors)


def between(j, k):
    """U_{k|j}, the product of the steps from j to k."""
    return product(STEPS[j:k])


def transposed(j, k):
    return product(TRANSPOSED[u] for u in reversed(STEPS[j:k]))


def projection(j, k):
    """P_{k|j} = U_{k|j} U_{k|j}ᵀ."""
    return between(j, k) * transposed(j, k)


LEVELS = [(j, k) for j in range(K + 1) for k in range(j, K + 1)]


def test_the_rule_is_not_too_strong():
    """UUᵀ is not 1, nor is U Uᵀ of one step that of another: else everything could be shown."""
    u, v = STEPS[:2]
    assert reduced(u * TRANSPOSED[u] - 1) != 0
    assert reduced(TRANSPOSED[u] * v) == TRANSPOSED[u] * v
    assert reduced(projection(0, 1) - projection(0, 2)) != 0


def test_eq_7_is_eq_8():
    """Before t₁ (h = 1) and after it (h = 0), whatever the weight δ of the projection."""
    f, g, h, delta = sympy.symbols("f g h delta")
    x, dw = Symbol("x", commutative=False), Symbol("dw", commutative=False)
    u, ut = between(0, 1), transposed(0, 1)
    drift = f * ut * x + delta * ut * (u * ut - 1) * x
    noise = g * ut * (h + (1 - h) * u * ut) * dw
    assert reduced(drift) == f * ut * x  # f x₁
    assert reduced(noise) == g * ut * dw  # g dw₁


def test_the_algebra_of_the_projections():
    for j, k in LEVELS:
        p = projection(j, k)
        assert reduced(transposed(j, k) * between(j, k)) == 1  # so that every U_{k|j} is an isometry
        assert reduced(p * p - p) == 0
        assert reduced(transposed(0, j) * between(0, k) - between(j, k)) == 0  # U_{k|j} = U_jᵀ U_k
        inner, outer = projection(0, k), projection(0, j)
        assert reduced(inner * outer - inner) == 0 and reduced(outer * inner - inner) == 0
        complement = between(0, j) * (1 - p) * transposed(0, j)  # P⊥_{k|j}, in the full space
        assert reduced(complement - (outer - inner)) == 0
        assert reduced(complement * complement - complement) == 0
        assert reduced((1 - inner) - (1 - outer) - complement) == 0  # P⊥_{k|0} = P⊥_{j|0} + P⊥_{k|j}
        for i in range(j):  # and complements of different steps are orthogonal
            other = projection(0, i) - projection(0, i + 1)
            if i + 1 <= j:
                assert reduced(other * complement) == 0


def test_eq_10():
    """x = Σ_j U_j x⊥_{j+1|j} + U_k x_k, for every k."""
    x = Symbol("x", commutative=False)
    for k in range(K + 1):
        parts = [
            between(0, j) * (1 - projection(j, j + 1)) * transposed(0, j) * x for j in range(k)
        ]  # U_j P⊥_{j+1|j} U_jᵀ x
        assert reduced(sum(parts) + between(0, k) * transposed(0, k) * x - x) == 0


def test_eq_11():
    """∇‖Mx‖²/2 = MᵀMx, and for M = P⊥_{j+1|j} U_jᵀ, what takes x to x⊥_{j+1|j}, MᵀM is P_j − P_{j+1}."""
    for j in range(K):
        m = (1 - projection(j, j + 1)) * transposed(0, j)
        m_transposed = between(0, j) * (1 - projection(j, j + 1))  # a projection is its own transpose
        assert reduced(m_transposed * m - (projection(0, j) - projection(0, j + 1))) == 0


def test_eq_11_by_differentiation():
    """The log-density of the parts of eq. 10, differentiated: ℝ³ ⊃ V₁ ⊃ V₂, any s_2, any variances."""
    x, y = Matrix(sympy.symbols("x0:3", real=True)), Symbol("y")
    u10 = Matrix([[2, -2], [1, 2], [2, 1]]) / 3
    u21 = Matrix([3, 4]) / 5
    assert u10.T * u10 == sympy.eye(2) and u21.T * u21 == sympy.eye(1)
    v1, v2 = sympy.symbols("v1 v2", positive=True)  # Σ⊥ of the two steps
    q = Function("q")  # log p_2 of the one coordinate that is left
    x1 = u10.T * x
    x2 = sympy.expand((u21.T * x1)[0])
    left = [x - u10 * x1, x1 - u21 * x2]  # x⊥_{1|0}, x⊥_{2|1}
    log_p = q(x2) - sum(sum(c**2 for c in part) / (2 * v) for part, v in zip(left, (v1, v2)))
    score = q(y).diff(y).subs(y, x2).doit()
    p1, p2 = u10 * u10.T, u10 * u21 * u21.T * u10.T
    eq_11 = u10 * u21 * score - (sympy.eye(3) - p1) * x / v1 - (p1 - p2) * x / v2
    for i in range(3):
        assert sympy.expand(log_p.diff(x[i]).doit() - eq_11[i]) == 0


alpha, sigma = Function("alpha", positive=True)(t), Function("sigma", positive=True)(t)
f = alpha.diff(t) / alpha
g_squared = (sigma**2).diff(t) - 2 * f * sigma**2


def test_the_variance_of_the_complement_follows_the_process():
    """Σ⊥ = α²v + σ² (eq. 9) solves dΣ⊥/dt = 2fΣ⊥ + g²; so x⊥ moves as √Σ⊥ along the probability flow."""
    v = Symbol("v", positive=True)
    variance = alpha**2 * v + sigma**2
    assert sympy.simplify(variance.diff(t) - 2 * f * variance - g_squared) == 0
    root = sqrt(variance)
    flow = f * root - g_squared / 2 * (-root / variance)  # f x − ½ g² ∇ log N(x; 0, Σ⊥)
    assert sympy.simplify(root.diff(t) - flow) == 0
    assert sympy.simplify(variance.diff(t) - f * variance - g_squared) != 0


def test_g_squared_is_what_the_log_snr_loses():
    """g² = −σ² d log(α²/σ²)/dt: positive as long as the log-SNR falls."""
    assert sympy.simplify(g_squared + sigma**2 * (2 * log(alpha) - 2 * log(sigma)).diff(t)) == 0


def test_alpha_and_sigma_from_f_and_g():
    """α = exp ∫ f and σ² = ∫ g² α²(t)/α² solve the two equations, for any f and g."""
    drift, noise = Function("f", real=True), Function("g", real=True)
    a = exp(sympy.Integral(drift(s), (s, 0, t)))
    variance = a**2 * sympy.Integral(noise(s) ** 2 / a.subs(t, s) ** 2, (s, 0, t))
    assert sympy.simplify(a.diff(t) / a - drift(t)) == 0
    assert sympy.simplify(variance.diff(t) - 2 * drift(t) * variance - noise(t) ** 2) == 0


def test_the_change_of_process():
    """r x + α'b has the law of the network's input where log-SNR' = log-SNR + 2 log(c/a), and then s = r s'."""
    names = "alpha sigma alpha_n a c"
    at, st, an, a, c = sympy.symbols(names, positive=True)
    b, x, y, noise = sympy.symbols("b x y epsilon", real=True)
    r = an * a / (at * c)
    log_snr = 2 * log(at / st) + 2 * log(c / a)
    sn = an * exp(-log_snr / 2)  # σ' at that time
    seen = at * c * y + st * noise  # a coordinate at t
    input_of_the_network = an * (a * y + b) + sn * noise
    assert sympy.simplify(r * seen + an * b - input_of_the_network) == 0
    density = Function("p")  # of the network's input
    u = Symbol("u")
    network = (log(density(u))).diff(u)
    score = log(r * density(r * x + an * b)).diff(x).doit()
    assert sympy.simplify(score - r * network.subs(u, r * x + an * b).doit()) == 0
    assert sympy.simplify(r * st - sn) == 0
