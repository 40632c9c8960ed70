"""Callbacks and progress: what they see, and how they stop a run."""

import re
import sys
import time

import numpy as np
import pytest

from subspace_sde import sample
from subspace_sde.solvers import DormandPrince, Heun
from tests.sampling.standard_normal import PROCESS, SCORES


def test_a_callback_sees_every_step(like):
    seen = []
    found = sample(PROCESS, SCORES, 5, Heun(), 9, like=like, chunk=2, callback=seen.append, trajectory=True)
    assert [(s.first, s.number, s.total) for s in seen] == [(f, n, 9) for f in (0, 2, 4) for n in range(1, 10)]
    for step in seen:
        assert step.x.shape == (min(2, 5 - step.first), *PROCESS.shape(step.level))
        assert PROCESS.level(step.t) == step.level or step.t in PROCESS.times
    assert seen[-1].x.shape[0] == 1 and bool((seen[-1].x == found.x[4:]).all())
    ends = []
    sample(PROCESS, SCORES, 2, DormandPrince(), 9, like=like, callback=lambda s: ends.append((s.level, s.number)))
    assert [k for k, _ in ends] == [2, 1, 0] and ends[-1][1] == 9  # one a stage


@pytest.mark.parametrize(("at", "finished"), [((0, 3), 0), ((0, 9), 2), ((2, 1), 2), ((4, 8), 4), ((4, 9), 5)])
def test_a_callback_stops_and_what_was_finished_is_returned(at, finished, like, host):
    def stop(step):
        if (step.first, step.number) == at:
            raise StopIteration

    whole = sample(PROCESS, SCORES, 5, steps=9, rng=1, like=like)
    found = sample(PROCESS, SCORES, 5, steps=9, rng=1, like=like, chunk=2, callback=stop)
    assert found.x.shape == (finished, 3, 4, 6) and found.x.dtype == like.dtype and found.x.device == like.device
    np.testing.assert_array_equal(host(found.x), host(whole.x)[:finished])
    assert found.seeds == whole.seeds[:finished]
    assert found.evaluations == (whole.evaluations if finished else (0, 0, 0))


def test_what_a_callback_returns_does_not_stop():
    # a progress bar's `update` returns True now and then
    assert sample(PROCESS, SCORES, 2, steps=6, callback=lambda step: True).x.shape[0] == 2
    with pytest.raises(KeyError):
        sample(PROCESS, SCORES, 2, steps=6, callback=lambda step: {}["an error of the user's own"])


def test_progress_is_shown_when_asked_for(capsys):
    sample(PROCESS, SCORES, 3, steps=6, chunk=2)
    assert capsys.readouterr().err == ""
    sample(PROCESS, SCORES, 3, steps=6, chunk=2, progress=True)
    shown = capsys.readouterr().err
    assert "12/12" in shown and "step" in shown


def test_an_adaptive_solver_shows_where_it_is(capsys):
    def slow(score):
        def called(x, t):
            time.sleep(0.11)  # longer than the bar's own interval
            return score(x, t)

        return called

    sample(PROCESS, [slow(score) for score in SCORES], 1, DormandPrince(0.1, 0.1), steps=6, progress=True)
    times = {float(t) for t in re.findall(r"level 2, t = ([\d.]+)", capsys.readouterr().err)}
    low, high = PROCESS.ends(2)
    assert len(times) > 3 and low <= min(times) and max(times) <= high


def test_progress_without_tqdm_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r'a progress bar needs tqdm: pip install "subspace-sde\[progress\]"'):
        sample(PROCESS, SCORES, 3, steps=6, progress=True)
