"""Chunks change no number, bars show every step, and a mean over samples has the error of its samples."""

import math
import re

import numpy as np
import pytest

from subspace_sde import VE, decode, encode, log_likelihood
from subspace_sde.likelihood import Bins, FullScore, Hutchinson, Staged
from subspace_sde.solvers import DormandPrince
from tests.likelihood.composite import Known, data, images, made, quantised, scores_of


class Shifted(Known):
    """A score that is told by how much each sample lies off."""

    def __call__(self, x, t, shift):
        return self.score(x - shift[..., : x.shape[-1]], t)

    def vjp(self, x, t, v, shift):
        return self.linear(v, t)


@pytest.mark.parametrize("form", [Staged(), FullScore()])
@pytest.mark.parametrize("chunk", [1, 2, 5, 99])
def test_chunks_change_no_number(chunk, form, array, host, eps):
    law, process = data(), made(VE(), 2)
    scores = scores_of(process, law, Shifted)
    x = array(law.sample(6, rng=1).reshape(2, 3, 7))
    shift = array(0.1 * np.arange(42.0).reshape(2, 3, 7))
    run = {"steps": 6, "trace": Hutchinson(3), "rng": 5, "condition": shift}
    whole = log_likelihood(process, scores, x, form, **run)
    found = log_likelihood(process, scores, x, form, chunk=chunk, **run)
    assert found.nats.shape == (2, 3) and found.estimates.shape == (1, 3, 2, 3)
    assert found.evaluations == whole.evaluations and len(found.seconds) == 3
    scale = np.max(np.abs(whole.estimates))
    np.testing.assert_allclose(found.estimates, whole.estimates, rtol=0, atol=100 * eps * scale)
    np.testing.assert_allclose(found.stderr, whole.stderr, rtol=0, atol=100 * eps * scale)


def test_chunks_of_quantised_images_are_filled_alike_and_refused_before_the_first_evaluation():
    process, law = images()
    x, calls = quantised(law, 5, Bins()), []
    scores = scores_of(process, law)
    run = {"steps": 10, "bins": Bins(repeats=3), "rng": [8, 1, 4, 1, 0]}
    whole = log_likelihood(process, scores, x, **run)
    found = log_likelihood(process, scores, x, chunk=2, **run)
    np.testing.assert_allclose(found.estimates, whole.estimates, rtol=1e-12)
    wrong = x.copy()
    wrong[-1] += 2
    seen = [lambda x, t: calls.append(t)] * len(scores)
    with pytest.raises(ValueError, match="outside the declared data range"):
        log_likelihood(process, seen, wrong, chunk=2, **run)
    assert not calls


def test_chunks_that_are_none_are_refused():
    law, process = data(), made(VE(), 1)
    with pytest.raises(ValueError, match="chunk must be an integer >= 1, got 0"):
        log_likelihood(process, scores_of(process, law), law.sample(3, rng=1), steps=4, chunk=0)


def test_the_mean_over_samples_has_the_error_of_their_spread():
    law, process = data(), made(VE(), 1)
    scores, x = scores_of(process, law), law.sample(12, rng=1).reshape(3, 4, 7)
    found = log_likelihood(process, scores, x, steps=20)
    nats = [float(n) for n in found.nats.reshape(-1)]
    mean = sum(nats) / 12
    error = math.sqrt(sum((n - mean) ** 2 for n in nats) / 11 / 12)
    assert found.mean == pytest.approx((mean, error))
    assert found.bits_mean == pytest.approx((-mean / (7 * math.log(2)), error / (7 * math.log(2))))
    (alone, unknown), none = (log_likelihood(process, scores, part, steps=4).mean for part in (x[0, 0], x[:0]))
    assert math.isfinite(alone) and math.isnan(unknown) and all(map(math.isnan, none))


@pytest.mark.parametrize("form", [Staged(), FullScore()])
def test_progress_counts_the_steps_of_all_chunks_and_repeats(form, capsys):
    process, law = images()
    x, scores = quantised(law, 5, Bins()), scores_of(process, law)
    log_likelihood(process, scores, x, form, steps=6, chunk=2, bins=Bins(repeats=2))
    assert capsys.readouterr().err == ""
    log_likelihood(process, scores, x, form, steps=6, chunk=2, bins=Bins(repeats=2), progress=True)
    shown = capsys.readouterr().err
    assert "36/36" in shown and "likelihood" in shown  # 3 chunks, 2 repeats, 6 steps
    log_likelihood(process, scores, x, form, DormandPrince(0.1, 0.1), steps=6, progress=True)
    assert "6/6" in capsys.readouterr().err


def test_latents_show_their_steps(capsys):
    law, process = data(), made(VE(), 2)
    scores, x = scores_of(process, law), law.sample(2, rng=1)
    z = encode(process, scores, x, steps=6, progress=True)
    shown = capsys.readouterr().err
    assert "encode" in shown and "6/6" in shown and re.search(r"level 2, t = 1[,\]]", shown)
    decode(process, scores, z, steps=6, progress=True)
    shown = capsys.readouterr().err
    assert "decode" in shown and "6/6" in shown and re.search(r"level 0, t = 0[,\]]", shown)
    decode(process, scores, z, steps=6)
    assert capsys.readouterr().err == ""
