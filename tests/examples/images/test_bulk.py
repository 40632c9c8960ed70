"""Samples in bulk: the same for any number of processes, after a kill too, and nothing half written."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.images import bulk
from examples.images.bulk import Drawn, read_shards, sample_shards
from examples.images.sampling import SolverName
from subspace_sde import VE, LowPass, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.backend import Noise, streams
from subspace_sde.solvers import Heun

SDE = VE(0.01, 50.0)
PROCESS = SubspaceSDE(SDE, NestedSubspaces([LowPass((3, 8, 8), 4)]), [0.5], [0.01])
FULL = SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=(3, 8, 8)), [], [])


def score(x, t):
    """That of N(0, 0.2² I): every row alike."""
    return -x / (0.04 + SDE.sigma(t) ** 2)


def draw(folder, num=20, batch=6, steps=12, **more):
    return sample_shards(PROCESS, [score, score], num, Path(folder), steps=steps, batch=batch, **more)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """64 images by one process."""
    folder = tmp_path_factory.mktemp("reference")
    found = draw(folder, 64)
    assert found == Drawn(folder, 64, (13, 12), found.seconds) and found.seconds > 0
    return read_shards(folder)


def run(*arguments):
    """A call in processes of its own, of this module's functions."""
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_two_processes_draw_the_images_of_one(reference, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.examples.images.test_bulk import draw\n"
        f"draw({str(tmp_path / 'few')!r}, 6)\n"
        f"draw({str(tmp_path / 'all')!r}, 64)\n"
    )
    code, told = run(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, script)
    assert code == 0, told[-2000:]
    assert np.array_equal(read_shards(tmp_path / "all"), reference)
    assert np.array_equal(read_shards(tmp_path / "few"), reference[:6])
    assert told.count("1 of 2 processes have nothing to do: 6 samples are 1 batches of 6") == 1
    assert "64/64" in told and not list(tmp_path.glob("*/*.new"))


def test_the_images_are_those_of_the_library(reference):
    """Sample 9 alone: from the x(T) of its own stream, in the full space."""
    like = torch.zeros(())
    noise = SDE.prior_std * Noise(streams(0, 9, 10), (1,), like).normal((3, 8, 8))
    x = sample(PROCESS, [score, score], 1, Heun(), 12, noise=noise, denoise=True).x
    assert np.abs(reference[9:10] / 255 - x.clip(0, 1).numpy()).max() < 0.5 / 255 + 1e-5
    assert ((reference > 0) & (reference < 255)).mean() > 0.2  # half of N(0, 0.2²) is clipped at 0


def test_a_killed_run_goes_on(reference, tmp_path):
    """Killed while the third batch is half written."""
    code, _ = run(
        sys.executable, "-c",
        "import os, signal\n"
        "from tests.examples.images import test_bulk as t\n"
        "write = t.bulk.pq.write_table\n"
        "def half(table, file):\n"
        f"    if file.name != '00000012.parquet.new': return write(table, file)\n"
        "    file.write_bytes(b'PAR1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.bulk.pq.write_table = half\n"
        f"t.draw({str(tmp_path)!r}, 64)",
    )  # fmt: skip
    assert code == -signal.SIGKILL
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}
    assert [file.name for file in sorted(kept)] == ["00000000.parquet", "00000006.parquet"]
    draw(tmp_path, 64)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept and not list(tmp_path.glob("*.new"))
    assert np.array_equal(read_shards(tmp_path), reference)


def test_more_samples_go_on_and_fewer_are_refused(reference, tmp_path):
    draw(tmp_path, 20)  # the last batch is not full
    assert len(read_shards(tmp_path)) == 20
    draw(tmp_path, 64)
    assert np.array_equal(read_shards(tmp_path), reference)
    with pytest.raises(ValueError, match="holds 64 samples already: ask for as many or more"):
        draw(tmp_path, 20)


def test_a_folder_of_other_samples_is_refused(tmp_path):
    draw(tmp_path / "a", 6)
    for more, what in [
        ({"steps": 6}, "another steps"),
        ({"seed": 1}, "another seed"),
        ({"batch": 5}, "another batch"),
        ({"networks": ["f00"]}, "another networks"),
        ({"steps": 6, "solver": SolverName.ddim}, "another solver, another steps"),
    ]:
        with pytest.raises(ValueError, match=f"holds samples with {what}: move it away"):
            draw(tmp_path / "a", 12, **more)
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "00000000.parquet").rename(tmp_path / "b" / "00000000.parquet")
    with pytest.raises(ValueError, match="holds Parquet files of something else"):
        draw(tmp_path / "b")
    (tmp_path / "a" / "00000000.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"00000000.parquet is no whole shard .*: remove it, and it is drawn again"):
        draw(tmp_path / "a")


def test_a_full_disk_is_one_sentence_and_nothing_half_written(tmp_path, monkeypatch):
    def full(table, file):
        file.write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, "No space left on device")

    draw(tmp_path, 12)
    monkeypatch.setattr(bulk.pq, "write_table", full)
    with pytest.raises(OSError, match=r"00000012.parquet could not be written \(No space left on device\)$"):
        draw(tmp_path, 64)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["00000000.parquet", "00000006.parquet", "shards.json"]


def test_the_time_may_run_out(tmp_path):
    assert draw(tmp_path, 12, minutes=0).num == 0
    assert draw(tmp_path, 12).num == 12


def test_noise_of_a_stochastic_solver_is_not_that_of_the_start(tmp_path):
    """x(T) of sample 0 and the first noise of its solver come from different streams."""
    seen = []

    def watched(x, t):
        seen.append(x)
        return score(x, t)

    sample_shards(FULL, [watched], 4, tmp_path, SolverName.euler_maruyama, steps=40, batch=4)
    first, second = (x.flatten() for x in seen[:2])
    moved = second - first * (second @ first) / (first @ first)
    assert moved.norm() > 0.1 * second.norm()


def test_a_plan_and_the_full_model_start_from_one_noise(tmp_path):
    starts = {}
    for name, process in {"plan": PROCESS, "full": FULL}.items():

        def watched(x, t, name=name):
            starts.setdefault(name, x)
            return score(x, t)

        sample_shards(process, [watched] * len(process.subspaces), 4, tmp_path / name, steps=4, batch=4)
    torch.testing.assert_close(starts["plan"], PROCESS.subspaces[1].restrict(starts["full"]))
