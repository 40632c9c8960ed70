"""``subspace-sde analyse``: what it prints, what it writes, and how it refuses."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import subspace_sde
from subspace_sde import Downsampling, LowPass, Plan, SubspaceSDE, cli, plotting, rmsd
from subspace_sde.analysis import report
from subspace_sde.images import load, to_unit
from subspace_sde.specification import specify

PICTURES = {"gaussian-divergence.png", "plan.png", "projections.png", "power.png", "basis.png", "cost.png"}


def pixels(num, edge, seed=0):
    """Smooth images and a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (num, 4, 4, 3)).astype(np.uint8)
    whole = [Image.fromarray(c).resize((edge, edge), Image.Resampling.BICUBIC) for c in coarse]
    return np.clip(np.stack(whole) + rng.normal(0, 4, (num, edge, edge, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sources of every kind that the command is tested on."""
    path = tmp_path_factory.mktemp("sources")
    sources = {"good": pixels(450, 8), "few": pixels(20, 16), "three": pixels(3, 8), "one": pixels(1, 8)}
    for name, images in sources.items():
        np.savez(path / f"{name}.npz", images=images)
    np.savez(path / "alike.npz", images=np.full((20, 8, 8, 3), 7, dtype=np.uint8))
    broken = pixels(20, 8) / 255
    broken[3, 2, 2, 1] = np.nan
    np.savez(path / "nan.npz", images=broken)
    (path / "mixed").mkdir()
    for i, edge in enumerate((8, 16, 8)):
        Image.fromarray(pixels(1, edge)[0]).save(path / "mixed" / f"{i}.png")
    (path / "file").write_text("a file")
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(*arguments)``: the exit status, what was printed, and what was complained of."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["subspace-sde", *(str(a) for a in arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    """The folder that one call of the command writes."""
    out = tmp_path_factory.mktemp("out") / "new"
    arguments = [sys.executable, "-W", "error", "-m", "subspace_sde", "analyse", folder / "good.npz"]
    arguments += ["--out", out, "--multiple-of", 2, "--level", "lowpass:5"]
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done


def test_a_pipe_gets_plain_text(written, folder):
    _, done = written
    assert "\x1b" not in done.stdout and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{folder / 'good.npz'}: 405 images of 3×8×8, pixels in [0, 1]; VE(")
    assert lines[0].endswith("D_F of a Gaussian with their covariance")
    assert lines[2].split() == ["subspace", "size", "share", "linear", "affine", "t", "noise", "cost"]


def test_the_table_is_that_of_the_images(written, folder):
    out, done = written
    x = to_unit(load(folder / "good.npz").train)
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    for name, u in (("lowpass:5", LowPass((3, 8, 8), 5)), ("downsampling:4", Downsampling((3, 8, 8), 2))):
        _, size, share, linear, affine, t, noise, cost = lines[name]
        assert (size, share) == (f"3×{u.shape[1]}×{u.shape[2]}", f"{u.dim / 192:.3f}")
        assert (linear, affine) == (f"{rmsd(u, x):.4f}", f"{rmsd(u, x, center=True):.4f}")
        assert float(cost) == pytest.approx(float(t) + (1 - float(t)) * u.dim / 192, abs=1e-3)
        assert float(noise) == pytest.approx(0.01 * 5000 ** float(t), rel=0.02)  # of VE(0.01, 50)
    found = json.loads((out / "analysis.json").read_text())
    assert {row["subspace"] for row in found["rows"]} <= set(lines) and found["summary"] in done.stdout


def test_files(written, folder):
    out, done = written
    assert {file.name for file in out.iterdir()} == PICTURES | {"analysis.json", "plan.json"}
    found = json.loads((out / "analysis.json").read_text())
    assert set(found["pictures"]) == PICTURES and f"written to {out}: analysis.json, plan.json" in done.stdout
    for name in PICTURES:
        with Image.open(out / name) as picture:
            assert min(picture.size) > 100 and picture.convert("L").getextrema() != (255, 255)
    assert [row["subspace"] for row in found["rows"] if row["shape"] == [3, 5, 5]] == ["lowpass:5"]


def test_the_plan_is_read_back_and_makes_a_process(written, folder):
    from subspace_sde.analysis import analyse

    out, _ = written
    images = load(folder / "good.npz")
    expected = analyse(images, ["lowpass:5"], multiple_of=2).plan
    loaded = Plan.load(out / "plan.json")
    assert specify(loaded.subspaces) == specify(expected.subspaces) and specify(loaded.sde) == specify(expected.sde)
    for name in ("times", "shares", "costs", "threshold", "divergences", "injections"):
        assert getattr(loaded, name) == getattr(expected, name), name
    found = json.loads((out / "analysis.json").read_text())
    assert found["plans"][-1]["cost"] == pytest.approx(min(p["cost"] for p in found["plans"]))
    process = SubspaceSDE.fit(loaded.sde, loaded.subspaces, loaded.times, to_unit(images.train))
    assert process.times == expected.times


def test_called_again_it_writes_the_same_bytes(written, folder, run, tmp_path):
    out, done = written
    code, text, error = run(
        "analyse", folder / "good.npz", "--out", tmp_path, "--multiple-of", 2, "--level", "lowpass:5"
    )
    assert (code, error) == (0, "") and text.replace(str(tmp_path), str(out)) == done.stdout
    for file in out.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("at", ["a picture", "the plan", "the table"])
def test_a_full_disk_leaves_what_was_there(at, folder, run, tmp_path, monkeypatch):
    arguments = ("analyse", folder / "few.npz", "--out", tmp_path)
    assert run(*arguments)[0] == 0
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    target = {"a picture": (plotting, "save"), "the plan": (Plan, "save"), "the table": (report, "_save")}[at]
    monkeypatch.setattr(*target, full)
    code, _, error = run(*arguments, "--threshold", "1e-3")
    assert code == 1 and "No space left on device" in error
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    if at == "a picture":  # the numbers are safe, and name no pictures of other numbers
        found = json.loads(after["analysis.json"])
        assert (found["threshold"], found["pictures"]) == (1e-3, [])
    else:
        assert after["analysis.json"] == before["analysis.json"]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("alike.npz", [], "the 18 samples of {} are all alike: nothing varies"),
        ("one.npz", [], "holds 1 of the two images that are needed"),
        ("mixed", [], "images of mixed sizes: {}/1.png is 16 x 16, the first 8 x 8 (height x width); give a size"),
        ("nan.npz", [], "image 3 of {} cannot be read as an image (pixels must be uint8, or floats in [0, 1] without"),
        ("three.npz", ["--threshold", "1e-30"], "no subspace meets the threshold 1e-30: the smallest D_F reached is "),
        ("three.npz", ["--threshold", "0"], "the threshold must be positive, got 0.0"),
        ("three.npz", ["--threshold", "-1"], "the threshold must be positive, got -1.0"),
        ("three.npz", ["--max-levels", "-1"], "max_levels must be at least 0, got -1"),
        ("three.npz", ["--multiple-of", "64"], "no smaller size whose edges are multiples of 64: give a smaller"),
        ("three.npz", ["--level", "blur:3"], "unknown level 'blur:3'"),
        ("three.npz", ["--size", "0"], "size must be at least 1"),
        ("three.npz", ["--out", "{folder}/file"], "{folder}/file is a file: --out takes a folder"),
        ("three.npz", ["--out", "{folder}/file/below"], "{folder}/file is a file: --out takes a folder"),
        ("nowhere.npz", [], "does not exist"),
    ],
)
def test_a_refusal_is_one_sentence(source, options, message, folder, run):
    options = [option.format(folder=folder) for option in options]
    code, text, error = run("analyse", folder / source, *options)
    assert (code, text) == (1, "")
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message.format(folder / source, folder=folder) in error


def test_no_levels_and_few_images(folder, run):
    code, text, _ = run("analyse", folder / "three.npz", "--max-levels", "0")
    assert code == 0 and "stay in the full space" in text
    code, text, _ = run("analyse", folder / "few.npz", "--level", "lowpass:10")
    assert code == 0 and "pca:8, pca:4, pca:2: needs at least 1536 samples, here are 18" in text
    assert "their power spectrum" in text and "\nlowpass:10" in text


def test_mixed_sizes_are_cropped_to_one(folder, run):
    code, text, _ = run("analyse", folder / "mixed", "--size", "8")
    assert code == 0 and "2 images of 3×8×8" in text


def test_every_option_is_handed_on(folder, run, monkeypatch):
    found = {}

    def loaded(source, size, **options):
        found.update(options, source=source, size=size)

    def analysed(images, names, **options):
        found.update(options, names=names)
        raise ValueError("seen")

    monkeypatch.setattr("subspace_sde.images.load", loaded)
    monkeypatch.setattr("subspace_sde.analysis.analyse_data.analyse", analysed)
    options = {"--size": 9, "--threshold": 0.5, "--max-levels": 7, "--multiple-of": 5, "--price": 0.25}
    given = [word for option in options.items() for word in option]
    assert run("analyse", "there", *given, "--level", "db2:4", "--level", "lowpass:3", "--skip-bad")[0] == 1
    assert found == {
        "source": "there", "size": 9, "skip_bad": True, "channels": None, "names": ["db2:4", "lowpass:3"],
        "threshold": 0.5, "max_levels": 7, "multiple_of": 5, "price": 0.25,
    }  # fmt: skip


def test_help():
    text = subprocess.run(
        [sys.executable, "-m", "subspace_sde", "analyse", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for word in ("--threshold", "--level", "--multiple-of", "--price", "D_F", "builtin", ".parquet"):
        assert word in text, word


def long_rows():
    names = ["downsampling:512", "patch-pca:512", "lowpass:1000"]
    row = {"shape": [3, 512, 512], "share": 0.25, "rmsd": {"origin": 0.1, "mean": 0.1}, "note": ""}
    return [row | {"subspace": name, "t": 0.5, "noise": 0.7, "cost alone": 0.6} for name in names]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["subspace", "size", "share", "linear", "affine", "t", "noise", "cost"]),
        (70, ["subspace", "size", "linear", "affine", "t", "noise", "cost"]),
        (60, ["subspace", "size", "linear", "affine", "t", "cost"]),
        (50, ["subspace", "size", "affine", "t", "cost"]),
        (40, ["subspace", "affine", "t", "cost"]),
    ],
)
def test_no_name_is_cut_on_a_narrow_terminal(width, columns):
    text = io.StringIO()
    found = {
        "data": "x", "of": ["images", "pixels"], "samples": 9, "shape": [3, 1024, 1024], "sde": "VE()",
        "model": "covariance", "threshold": 3e-3,
        "rows": long_rows(), "plans": [], "summary": "Use lowpass:1000 from t = 0.500: 60% of the pixels.",
    }  # fmt: skip
    report.show(found, Console(file=text, width=width, force_terminal=True, color_system=None))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    start = next(i for i, line in enumerate(lines) if line.startswith("subspace"))
    assert lines[start].split() == columns
    assert [line.split()[0] for line in lines[start + 1 : start + 4]] == [row["subspace"] for row in found["rows"]]
    assert "lowpass:1000 from t" in " ".join(lines)


def test_only_what_is_needed_is_imported(folder):
    """Networks and data sets take seconds to import, and nothing here uses them."""
    heavy = ("torch", "diffusers", "accelerate", "datasets", "sklearn", "skimage", "jax", "sympy")
    code = f"""
import sys
from subspace_sde.cli import main
sys.argv = ["subspace-sde", "analyse", {str(folder / "few.npz")!r}]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code
print("imported:", *sorted(set(sys.modules) & set({heavy!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "imported:"


@pytest.mark.parametrize("command", [["-m", "subspace_sde"], ["-c", "from subspace_sde.cli import main; main()"]])
def test_the_version(command):
    done = subprocess.run([sys.executable, *command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"subspace-sde {subspace_sde.__version__}\n"
