"""The example of sound: the made sounds against their law, the judge, the network, and the command."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.signal import hilbert
from typer.testing import CliRunner

from examples.sound.__main__ import app
from examples.sound.network import Denoiser
from examples.sound.quality import OCTAVES, judge, octaves, peaks
from examples.sound.sounds import LOUDNESS, RATE, TIME, chord, sounds, sweep, tone
from subspace_sde import VE, LowPass
from subspace_sde.scores import at_level, from_denoiser


def test_a_tone_has_all_its_overtones_with_amplitudes_1_over_k():
    wave = tone(2 * np.pi * 500 * TIME, 500, np.random.default_rng(0))
    amplitudes = 2 * np.abs(np.fft.rfft(wave)) / RATE
    amplitudes[-1] /= 2  # there is no negative frequency beside that at half the rate
    orders = np.arange(1, 16)
    np.testing.assert_allclose(amplitudes[500 * orders], 1 / orders, rtol=1e-9)
    amplitudes[500 * np.arange(1, 17)] = 0
    assert amplitudes.max() < 1e-10


@pytest.mark.parametrize(("start", "octaves_a_second"), [(200, 1.2), (900, -0.8)])
def test_a_sweep_moves_evenly_in_octaves(start, octaves_a_second):
    x = sweep(start, octaves_a_second, np.random.default_rng(1))
    pitch = start * 2 ** (octaves_a_second * TIME)
    shifted = hilbert(x) * np.exp(-2j * np.pi * np.cumsum(pitch) / RATE)
    # brought to 0 Hz the fundamental stands still; an average takes the overtones away
    slow = np.convolve(shifted, np.hanning(800) / np.hanning(800).sum(), mode="same")[2000:-2000]
    drift = np.diff(np.unwrap(np.angle(slow))) * RATE / (2 * np.pi)
    assert np.abs(drift).max() < 1.5  # Hz


def test_a_chord_has_its_three_notes_and_dies_away():
    x = chord(200, 5 / 4, 0.7, np.random.default_rng(2))
    power = np.abs(np.fft.rfft(x)) ** 2
    near = [power[f - 3 : f + 4].sum() for f in (200, 250, 300)]
    assert sum(near) > 0.5 * power.sum() and max(near) < 1.2 * min(near)
    assert power[205:245].sum() < 0.02 * min(near)
    early, late = (np.sqrt(np.mean(x[a : a + 4000] ** 2)) for a in (1000, 9000))
    assert late / early == pytest.approx(math.exp(-0.35), rel=0.02)


def test_sounds_are_alike_in_loudness_and_each_has_its_own_stream():
    made = sounds(5, seed=3)
    assert made.shape == (5, 1, RATE) and made.dtype == np.float32
    np.testing.assert_allclose(np.sqrt(np.mean(made**2, axis=-1)), LOUDNESS, rtol=1e-5)
    np.testing.assert_array_equal(sounds(2, seed=3), made[:2])
    assert np.abs(sounds(2, seed=4) - made[:2]).max() > 0.1


def test_the_judge_hears_loudness_and_tones():
    noise = np.random.default_rng(0).standard_normal((8, 1, RATE))
    assert len(octaves(noise)) == len(OCTAVES) - 1 and np.abs(octaves(noise)).max() < 1  # of variance 1: 0 dB
    twice = judge(2 * noise, noise)
    assert twice["octaves, dB"] == pytest.approx(20 * math.log10(2)) and abs(twice["peaks"]) < 1e-12
    assert peaks(sounds(4, 0)) > 0.7 > 0.2 > peaks(noise)


def test_one_network_takes_every_length_and_begins_as_a_denoiser():
    sde = VE(0.004, 40.0)
    torch.manual_seed(0)
    network = Denoiser(sde, LOUDNESS).eval().requires_grad_(False)
    x = torch.from_numpy(sounds(2, 0))
    t = float(sde.time_at_log_snr(-2 * math.log(0.05)))
    noisy = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    assert torch.mean((network(noisy, t) - x) ** 2) < 0.4 * 0.05**2
    both = network(noisy, torch.tensor([t, 0.8]))
    torch.testing.assert_close(both[:1], network(noisy[:1], t), rtol=1e-4, atol=1e-5)
    level = LowPass((1, RATE), 5600, axes=-1)
    score = at_level(from_denoiser(network, sde), sde, level)
    z = level.restrict(noisy)
    c, s = level.coordinate_scale, float(sde.sigma(t))
    expected = (c * network(z / c, float(sde.time_at_log_snr(-2 * math.log(s / c)))) - z) / s**2
    torch.testing.assert_close(score(z, t), expected, rtol=1e-3, atol=1e-3)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command_writes_its_files(tmp_path):
    small = ("--data", 16, "--train-steps", 3, "--num", 3, "--steps", 4, "--levels", 1)
    result = run("--out", tmp_path / "new", *small)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["sound.json", "sound.png"]
    found = json.loads((tmp_path / "new" / "sound.json").read_text())
    (full, level), (t,) = found["plans"]["network"]["shapes"], found["plans"]["network"]["times"]
    assert full == [1, RATE] and level[1] < RATE / 2
    assert found["plans"]["network"]["cost"] == pytest.approx(t + (1 - t) * level[1] / RATE, rel=1e-6)
    assert 0 < found["ratio"] and f"time ratio {found['ratio']:.2f}" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", 2), "3 levels need at least as many steps, got 2"),
        (("--num", 2), "3 to draw"),
        (("--data", 16, "--num", 3, "--threshold", 0), "threshold"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(tmp_path, arguments, message):
    result = run("--out", tmp_path / "new", *arguments)
    said = " ".join(result.output.replace("│", " ").split())
    assert result.exit_code == 2 and message in said and "Traceback" not in said
    assert not (tmp_path / "new").exists()
