"""The variables in which steps are equally long: what they are, and back."""

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, RectifiedFlow, SubVP
from subspace_sde.sdes import OwnSpacing, Rho, UniformLogSNR, UniformTime

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
VARIABLES = {
    OwnSpacing(): lambda sde, t: sde.grid_parameter(t),
    UniformTime(): lambda sde, t: t,
    UniformLogSNR(): lambda sde, t: 2 * np.log(sde.alpha(t) / sde.sigma(t)),
    Rho(): lambda sde, t: (sde.sigma(t) / sde.alpha(t)) ** (1 / 7),
    Rho(2.0): lambda sde, t: np.sqrt(sde.sigma(t) / sde.alpha(t)),
}


@pytest.mark.parametrize("sde", SDES)
@pytest.mark.parametrize("spacing", VARIABLES)
def test_the_variable_is_what_it_says_and_has_an_inverse(spacing, sde):
    for t in sde.t_min + (sde.T - sde.t_min) * np.linspace(0.05, 0.95, 7):
        u = spacing.parameter(float(t), sde)
        assert u == pytest.approx(VARIABLES[spacing](sde, float(t)), rel=1e-9)
        assert spacing.time(u, sde) == pytest.approx(t, rel=1e-6)
