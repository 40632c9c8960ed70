"""The images example, end to end on tiny images: what a run writes, finds again, and refuses."""

import base64
import json
import re
import subprocess
import sys
from html import unescape

import numpy as np
import pytest
import torch
from datasets import load_dataset

import subspace_sde
from examples.images import plans
from examples.images.bulk import read_shards
from examples.images.evaluation.run import table
from examples.images.levels import Level, file_name
from examples.images.report import result_of
from subspace_sde import LowPass, Plan, rmsd
from subspace_sde.divergence import level_error
from subspace_sde.images import load, to_unit
from tests.examples.images.commands import TINY, invoke


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """One whole run."""
    out = tmp_path_factory.mktemp("run")
    arguments = ["run", "--data", data, "--out", out, *TINY, "--steps", 8, "--num", 20, "--sample-steps", 6]
    arguments += ["--threshold", 0.5, "--count", 16, "--device", "cpu"]
    return out, arguments, invoke(*arguments)


def test_run_writes_everything(finished):
    out, arguments, output = finished
    for name in (
        "analysis.json",
        "divergence.json",
        "samples.json",
        "quality.json",
        "report.html",
        "divergence.png",
        "samples.png",
        "plan.json",
        "plan.png",
        "cost.png",
        "gaussian-divergence.png",
        "projections.png",
    ):
        assert (out / name).stat().st_size > 100, name
    assert "lowpass:8" in output
    found = json.loads((out / "samples.json").read_text())
    full, staged = found["plans"]["full"], found["plans"]["lowpass"]
    assert full["evaluations"] == [12] and sum(staged["evaluations"]) == 12 and len(staged["evaluations"]) == 2
    assert full["num"] == staged["num"] == 20
    pixels = staged["evaluations"][0] * 3 * 16 * 16 + staged["evaluations"][1] * 3 * 8 * 8
    assert staged["pixel ratio"] == pytest.approx(pixels / (12 * 3 * 16 * 16))
    html = unescape((out / "report.html").read_text())
    assert "{{" not in html and set(re.findall(r'src="([^,]{,40})', html)) == {"data:image/png;base64"}
    inside = [base64.b64decode(code) for code in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]
    assert (out / "samples-lowpass.png").read_bytes() in inside and (out / "spectrum.png").read_bytes() in inside
    analysis = json.loads((out / "analysis.json").read_text())
    assert analysis["summary"] in output and analysis["summary"] in html and analysis["threshold"] == 0.5
    row = next(row for row in analysis["rows"] if row["subspace"] == "lowpass:8")
    linear, affine = (rmsd(LowPass((3, 16, 16), 8), to_unit(load(arguments[2]).train), c) for c in (False, True))
    assert (row["rmsd"]["origin"], row["rmsd"]["mean"]) == pytest.approx((linear, affine), rel=1e-6)
    assert f">{linear:.4f}</td>" in html and f"{linear:.4f}" in output
    assert Plan.load(out / "plan.json").threshold == 0.5
    for picture in ("plan.png", "cost.png", "gaussian-divergence.png", "projections.png"):
        assert (out / picture).read_bytes() in inside and picture in analysis["pictures"]
    plan, wasserstein = staged, json.loads((out / "quality.json").read_text())["lowpass"]["sliced wasserstein"]
    (result,) = re.findall(r"<p><b>(On .*?)</b></p>", html)
    assert html.index(result) < html.index("<h2>") and f"in {plan['ratio']:.2f} of the full model's time" in result
    assert "lowpass:8 → full size" in result and f"lie {wasserstein:.3f} from" in result and "±" in result
    (about,) = re.findall(r"<code>.*</p>", html)
    assert f"subspace_sde {subspace_sde.__version__}" in about and found["machine"] in about
    assert re.search(r"</code>, \d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4},", about)


def test_the_result_is_that_of_the_fastest_plan():
    row = {"ratio": 1.0, "seconds per sample": 0.5, "levels": [], "times": []}
    two = {"ratio": 0.4, "seconds per sample": 0.2, "levels": ["lowpass:16", "lowpass:4"], "times": [0.433, 0.532]}
    one = {"ratio": 0.6, "seconds per sample": 0.3, "levels": ["lowpass:8"], "times": [0.487]}
    quality = {name: {"sliced wasserstein": d} for name, d in (("full", 0.1), ("one", 0.3), ("two", 0.2))}
    quality["training images"] = {"sliced wasserstein": 0.15, "sliced wasserstein spread": 0.02}
    told = result_of({"plans": {"full": row, "one": one, "two": two}}, quality, 64, "photos")
    assert "the plan lowpass:4 → lowpass:16 → full size (t = 0.532, 0.433) samples in 0.40 of the full" in told
    assert "0.2 s an image instead of 0.5" in told and "lie 0.200 from" in told
    assert "(64 of each; those of the full model 0.100, training images 0.150 ± 0.020)" in told
    alone = result_of({"plans": {"full": row}}, quality, 64, "photos")
    assert alone == "On photos no subspace is used: the full model alone was sampled, in 0.5 s an image."


def test_the_report_has_what_evaluate_found(finished, monkeypatch):
    out, arguments, _ = finished
    rows = {"training images": {"FD-x": [1.0, 0.1]}, "full": {"FD-x": [2.0, 0.2]}, "lowpass": {"FD-x": [3.0, 0.3]}}
    found = {"rows": rows, "samples": 20, "training": 16, "held out": 40, "network": "x", "note": "too few"}
    monkeypatch.setattr("examples.images.report.evaluation_of", lambda images, out: {**found, "table": table(found)})
    invoke("report", *arguments[1:5], *TINY[:2])
    html = unescape((out / "report.html").read_text())
    assert "; FD-x 3.00 ± 0.30, of the full model 2.00 ± 0.20.</b>" in html
    assert "<tr><td>FD-x ↓</td><td>1.00 ± 0.10</td><td>2.00 ± 0.20</td><td>3.00 ± 0.30</td></tr>" in html
    assert "20 samples of each, 16 training images, 40 held-out images, features of x;" in html
    assert "No Fréchet distance: too few." in html
    monkeypatch.undo()
    invoke("report", *arguments[1:5], *TINY[:2])
    assert "On the features of a network" not in (out / "report.html").read_text()


def test_the_error_of_the_shared_network_is_measured_on_held_out_images(finished):
    out, arguments, output = finished
    found = json.loads((out / "divergence.json").read_text())
    row = found["levels"]["lowpass:8"]["error"]
    level, held_out = Level.load(out / "shared.safetensors"), torch.from_numpy(to_unit(load(arguments[2]).held_out))
    (error,) = level_error(level.score, level.sde, [LowPass((3, 16, 16), 8)], held_out, found["times"][::2])
    assert row["times"] == list(error.times) and row["ratio"] == pytest.approx(error.ratio, rel=1e-4)
    assert "error: t" in output and "level of the shared network" in (out / "report.html").read_text()


def test_analyse_shows_its_table_again_without_computing(finished, monkeypatch):
    out, arguments, _ = finished
    before = (out / "analysis.json").read_bytes()
    monkeypatch.setattr("examples.images.analysis.library.analyse", None)
    output = invoke("analyse", *arguments[1:5], "--level", "lowpass:8", "--threshold", 0.5)
    assert json.loads(before)["summary"] in output and (out / "analysis.json").read_bytes() == before
    monkeypatch.undo()
    output = invoke("analyse", *arguments[1:5], "--level", "lowpass:8", "--level", "lowpass:5", "--threshold", 0.4)
    assert "lowpass:5" in output and json.loads((out / "analysis.json").read_text())["threshold"] == 0.4
    invoke(*arguments)  # as it was, for the tests that follow
    assert (out / "analysis.json").read_bytes() == before


def chunks(out):
    return {file.name: file for file in sorted((out / "chunks").glob("*/*.npz"))}


def test_a_finished_run_is_found_again_and_changes_nothing(finished):
    out, arguments, _ = finished
    kept = ("shared.safetensors", "analysis.json", "divergence.json", "samples.json")
    before = {name: (out / name).read_bytes() for name in kept}
    drawn = {name: file.stat().st_mtime_ns for name, file in chunks(out).items()}
    invoke(*arguments)
    assert {name: (out / name).read_bytes() for name in kept} == before
    assert {name: file.stat().st_mtime_ns for name, file in chunks(out).items()} == drawn


def test_lost_samples_are_drawn_again_alike(finished):
    out, arguments, _ = finished
    file = chunks(out)["lowpass-0.npz"]
    before = np.load(file)["x"]
    file.unlink()
    invoke(*arguments)
    np.testing.assert_allclose(np.load(file)["x"], before, atol=1e-5)


def test_other_settings_are_computed_anew_and_never_mixed(finished):
    out, arguments, _ = finished
    before = json.loads((out / "samples.json").read_text())
    invoke("sample", *arguments[1:5], *TINY[:2], "--device", "cpu", "--num", 4, "--steps", 3)
    found = json.loads((out / "samples.json").read_text())
    assert found["key"] != before["key"] and found["steps"] == 3 and found["plans"]["full"]["num"] == 4
    assert found["plans"]["full"]["evaluations"] == [6]
    invoke(*arguments)  # the first samples are still there
    again = json.loads((out / "samples.json").read_text())
    assert again == before


def test_one_plan_in_bulk(finished, tmp_path, monkeypatch):
    out, arguments, _ = finished
    common = ["sample", *arguments[1:5], *TINY[:2], "--device", "cpu", "--steps", 6, "--num", 66]
    output = invoke(*common, "--plan", "lowpass")
    folder = out / "shards" / "lowpass"
    assert "66 samples" in output and "evaluations s_0" in output
    assert [file.name for file in sorted(folder.glob("*.parquet"))] == ["00000000.parquet", "00000064.parquet"]
    rows = load_dataset("parquet", data_files=str(folder / "*.parquet"), split="train", cache_dir=str(tmp_path))
    images = read_shards(folder)
    assert len(rows) == 66 and rows[65]["image"].size == (16, 16)
    assert np.array_equal(np.asarray(rows[65]["image"]).transpose(2, 0, 1), images[65])
    with pytest.raises(ValueError, match="there is no plan 'wavelet' in this folder: choose one of full, lowpass"):
        invoke(*common, "--plan", "wavelet")
    monkeypatch.setattr("examples.images.commands.sampling.PROCESSES", 2)
    with pytest.raises(ValueError, match="2 processes would all draw the same: name one --plan"):
        invoke(*common)


def test_a_level_trained_otherwise_is_refused(finished):
    _, arguments, _ = finished
    with pytest.raises(ValueError, match=r"learning_rate was 0\.001, is 0\.01"):
        invoke(*arguments, "--learning-rate", 0.01)


def test_levels_that_do_not_nest_are_refused_before_any_work(data, tmp_path):
    with pytest.raises(ValueError, match="not nested"):
        invoke(
            "run",
            "--data",
            data,
            "--size",
            24,
            "--out",
            tmp_path,
            "--level",
            "downsampling:12",
            "--level",
            "downsampling:8",
        )
    with pytest.raises(ValueError, match="divisible by 4"):
        invoke("run", "--data", data, "--size", 18, "--out", tmp_path, "--level", "full")
    assert not any(tmp_path.iterdir())


def test_levels_without_a_measured_divergence(finished):
    out, _, _ = finished
    measured = json.loads((out / "divergence.json").read_text())
    with pytest.raises(ValueError, match="downsampling:8 was not measured"):
        plans.usable(["downsampling:8"], measured)


def test_without_levels_it_follows_the_plans_that_analyse_finds(data, tmp_path):
    arguments = ["--data", data, "--out", tmp_path, *TINY[2:], "--steps", 2, "--num", 4, "--sample-steps", 6]
    arguments += ["--threshold", 0.5, "--count", 16, "--device", "cpu"]
    output = invoke("run", *arguments)
    analysis = json.loads((tmp_path / "analysis.json").read_text())
    found = plans.recommended(analysis, every=True)
    shared = Level.load(tmp_path / "shared.safetensors")
    assert len(found) > 1 and list(shared.shared) == plans.levels_of(found)
    assert not (tmp_path / "full.safetensors").exists()
    measured = json.loads((tmp_path / "divergence.json").read_text())
    drawn = json.loads((tmp_path / "samples.json").read_text())["plans"]
    assert {p: row["levels"] for p, row in drawn.items()} == {
        p: plans.usable(levels, measured) for p, levels in found.items() if not levels or plans.usable(levels, measured)
    }
    assert all(plan in output for plan in found["1-level"])
    # the commands of the folder find the plans without being told
    invoke("sample", *arguments[:4], "--num", 2, "--steps", 3, "--device", "cpu")
    assert set(json.loads((tmp_path / "samples.json").read_text())["plans"]) == set(drawn)
    with pytest.raises(ValueError, match="holds a network for all levels: give a network for each another --out"):
        invoke("run", *arguments, "--separate")


def test_separate_networks_have_the_plan_that_analyse_recommends(data, tmp_path):
    arguments = ["--data", data, "--out", tmp_path, *TINY[2:], "--steps", 1, "--num", 4, "--sample-steps", 6]
    invoke("run", *arguments, "--threshold", 0.5, "--count", 16, "--device", "cpu", "--separate")
    analysis = json.loads((tmp_path / "analysis.json").read_text())
    names = ["full", *analysis["recommended"]["levels"]]
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == sorted(file_name(n) for n in names)
    with pytest.raises(ValueError, match="holds a network for each level: give the shared one another --out"):
        invoke("run", *arguments)


def test_single_stages_say_what_comes_first(data, tmp_path):
    with pytest.raises(ValueError, match="train that level first"):
        invoke("divergence", "--data", data, "--out", tmp_path, "--level", "lowpass:8")
    for arguments in (["train"], ["train", "--shared", "--level", "lowpass:8"], ["sample"]):
        with pytest.raises(ValueError, match=r"analysis.json is missing: run `python -m examples.images analyse`"):
            invoke(arguments[0], "--data", data, "--out", tmp_path, *arguments[1:])
    with pytest.raises(ValueError, match=r"analysis.json is missing"):
        stages_folder = tmp_path / "weights"
        invoke("train", "--data", data, "--out", stages_folder, "--level", "full", *TINY[2:], "--steps", 1)
        invoke("report", "--data", data, "--out", tmp_path, "--weights", stages_folder, "--level", "full")


def test_command_line_refusals(data, tmp_path):
    for arguments, message in [
        (["train", "--channels", "a,b"], "multiples of 8"),
        (["train", "--steps", 0], "must be positive"),
        (["analyse", "--level", "blur:3"], "unknown level"),
        (["run", "--solver", "rk45"], "unknown solver"),
        (["run", "--device", "cuda:99"], "not to be had"),
        (["run", "--level", "lowpass:10"], r"10 x 10 cannot be halved 2 times.*divisible by 4 \(lowpass of 4, 8, 12\)"),
        (["train", "--start", "full.safetensors"], "it goes with --shared"),
    ]:
        with pytest.raises(ValueError, match=message):
            invoke(*arguments[:1], "--data", data, "--out", tmp_path, *arguments[1:])
    done = subprocess.run(
        [sys.executable, "-m", "examples.images", "analyse", "--data", "no/such/folder", "--out", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "does not exist" in done.stderr + done.stdout and "Traceback" not in done.stderr


def test_help_speaks_of_every_stage():
    text = invoke("--help")
    assert all(name in text for name in ("analyse", "train", "divergence", "sample", "report", "run"))
