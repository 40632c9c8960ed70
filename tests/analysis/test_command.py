"""Each option of ``subspace-sde analyse`` reaches what it is for; any name and any terminal will do."""

import io
import json
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image

from subspace_sde import cli, plotting
from subspace_sde.analysis import analyse, candidate_subspaces, subspace_named
from subspace_sde.images import Images


def smooth(num, edge):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (num, 4, 4, 3)).astype(np.uint8)
    whole = [Image.fromarray(c).resize((edge, edge), Image.Resampling.BICUBIC) for c in coarse]
    return np.clip(np.stack(whole) + rng.normal(0, 4, (num, edge, edge, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images, one of which is none where ``bad`` stands in its name."""
    path = tmp_path_factory.mktemp("sources")
    for name in ("good", "bad"):
        (path / name).mkdir()
        for i, pixels in enumerate(smooth(24, 16)):
            Image.fromarray(pixels).save(path / name / f"{i}.png")
    (path / "bad" / "a.png").write_bytes(b"no image")
    signals = np.cumsum(np.random.default_rng(0).standard_normal((30, 2, 24)), axis=2)
    np.save(path / "signals.npy", signals)
    np.savez(path / "two.npz", larger=signals, smaller=signals[:20])
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(*arguments)``: the exit status, what was printed, and what was complained of."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["subspace-sde", "analyse", *(str(a) for a in arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


OPTIONS = {  # what it must change: a line that is there with it, and not without it
    "--size": (["--size", "8"], "22 images of 3×8×8"),
    "--channels": (["--channels", "grey"], "22 images of 1×16×16"),
    "--array": (["--array", "smaller"], "two.npz:smaller: 20 arrays of 2×24, numbers as they are"),
    "--axes": (["--axes", "-2,-1"], "of which the axes -2, -1 may get shorter"),
    "--scale": (["--scale", "4"], "numbers divided by 4, of which the axis -1 may get shorter"),
    "--threshold": (["--threshold", "0.03"], "D_F is at most 0.03"),
    "--level": (["--level", "lowpass:13"], "\nlowpass:13 "),
    "--max-levels": (["--max-levels", "0"], "No further level pays"),
    "--multiple-of": (["--multiple-of", "16"], "multiples of 16: give a smaller multiple_of"),
    "--price": (["--price", "0.9"], "No further level pays"),
    "--out": (["--out", "{out}"], "written to {out}: analysis.json"),
    "--skip-bad": (["--skip-bad"], "22 images of 3×16×16"),
}


def test_every_option_is_tested():
    import inspect

    names = {f"--{name.replace('_', '-')}" for name in inspect.signature(cli.analyse).parameters} - {"--source"}
    assert names == OPTIONS.keys()


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_changes_what_it_is_for(option, folder, run, tmp_path):
    given, line = OPTIONS[option]
    given, line = [a.format(out=tmp_path) for a in given], line.format(out=tmp_path)
    others = {"--skip-bad": "bad", "--array": "two.npz", "--axes": "signals.npy", "--scale": "signals.npy"}
    source = folder / others.get(option, "good")
    (_, *with_it), (_, *without) = run(source, *given), run(source)
    assert line in "".join(with_it) and line not in "".join(without)


def test_what_is_left_out_is_said(folder, run):
    code, _, error = run(folder / "bad", "--skip-bad")
    assert code == 0 and error.startswith(f"warning: left out: {folder / 'bad' / 'a.png'} cannot be read as an image")
    assert error.endswith(", 1 of 25\n") and error.count("\n") == 1
    code, text, error = run(folder / "bad")
    assert (code, text) == (1, "") and error.startswith(f"error: {folder / 'bad' / 'a.png'} cannot be read as an image")


@pytest.mark.parametrize("option", ["--max-levels", "--multiple-of", "--size"])
def test_a_number_without_end_is_no_hang(option, folder, run):
    code, text, error = run(folder / "good", option, 10**30)
    assert (code == 0 and "Use " in text) if option == "--max-levels" else (code == 1 and error.startswith("error: "))


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("good", ["--scale", "2"], "{} is read as images, and --scale is for arrays: leave it out"),
        ("good", ["--axes", "-1"], "{} is read as images, and --axes is for arrays: leave it out"),
        ("signals.npy", ["--size", "8"], "{} is read as an array, and --size is for images: leave it out"),
        ("signals.npy", ["--channels", "rgb"], "{} is read as an array, and --channels is for images: leave it out"),
        ("signals.npy", ["--skip-bad"], "{} is read as an array, and --skip-bad is for images: leave it out"),
        ("signals.npy", ["--axes", "a"], "--axes takes whole numbers with commas between, -2,-1 say, got 'a'"),
        ("signals.npy", ["--axes", "-3"], "axes are numbers from -2 to -1, for samples of shape (2, 24), got (-3,)"),
        ("good", ["--size", "8by9"], "--size takes an edge, 32 say, or height and width, 64x48, got 8by9"),
        ("good", ["--size", "8x9x3"], "--size takes an edge, 32 say, or height and width, 64x48, got 8x9x3"),
        ("good", ["--size", "0x9"], "size must hold positive integers, got (0, 9)"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(source, options, message, folder, run):
    code, text, error = run(folder / source, *options)
    assert (code, text, error) == (1, "", f"error: {message.format(folder / source)}\n")


def test_images_that_are_not_square(folder, run):
    code, text, error = run(folder / "good", "--size", "16x8")
    assert (code, error) == (0, "") and "22 images of 3×16×8, pixels in [0, 1]; VE(t_min=0, T=1, sigma_min=0.01" in text


def test_a_folder_that_hides_the_built_in_photographs_is_told(folder, run, tmp_path, monkeypatch):
    (tmp_path / "photos").symlink_to(folder / "good")
    monkeypatch.chdir(tmp_path)
    code, text, error = run("photos")
    assert code == 0 and text.startswith("photos: 22 images of 3×16×16")
    assert error.startswith("warning: photos is read as the folder of that name here, not as the built-in photographs")


SHAPES = {  # of a sample, and the picture of each of the 2 or 6 samples and of what is kept of it
    "signal": ((32,), "line"),
    "stereo": ((2, 32), "line"),
    "field": ((16, 20), (16, 20)),
    "volume": ((8, 12, 16), (12, 16)),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_arrays_have_pictures_that_suit(kind, run, tmp_path, monkeypatch):
    shape, form = SHAPES[kind]
    x = np.random.default_rng(0).standard_normal((20, *shape)).cumsum(axis=-1)
    folder = tmp_path / ("a long way down " * 6) / ("and further " * 6)  # no legend has room for that
    folder.mkdir(parents=True)
    np.savez(folder / "x.npz", x)
    drawn, draw = [], plotting.projections
    monkeypatch.setattr(plotting, "projections", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    code, text, error = run(folder / "x.npz", "--out", tmp_path / "out", "--multiple-of", "1")
    assert (code, error) == (0, "") and "of the full model's numbers." in text
    names = {"gaussian-divergence", "plan", "projections", "power", "cost"}
    files = {"analysis.json", "plan.json", *(f"{name}.png" for name in names)}
    assert {file.name for file in (tmp_path / "out").iterdir()} == files
    content = json.loads((tmp_path / "out" / "analysis.json").read_text(encoding="utf-8"))
    assert (content["of"], content["samples"], content["shape"]) == (["arrays", "numbers"], 20, list(shape))
    first = drawn[0].axes[0]
    if form == "line":
        expected = x[0] if x.ndim == 2 else x[0, x.shape[1] // 2]
        np.testing.assert_allclose(first.lines[0].get_ydata(), expected)
    else:
        shown = np.asarray(first.images[0].get_array())
        section = x[0] if x.ndim == 3 else x[0, x.shape[1] // 2]
        assert shown.shape == form
        np.testing.assert_allclose(shown, (section - x[:6].min()) / np.ptp(x[:6]), atol=1e-12)


def test_very_many_levels_are_as_many_as_there_are():
    images = Images("x", smooth(20, 8).transpose(0, 3, 1, 2), smooth(1, 8).transpose(0, 3, 1, 2))
    assert analyse(images, max_levels=10**30).plan == analyse(images, max_levels=10).plan


def test_another_users_home_is_one_sentence(run):
    code, text, error = run("~nobody-of-that-name/x")
    assert (code, text) == (1, "")
    assert error == "error: ~nobody-of-that-name/x does not exist: there is no user of that name here\n"


# ---------------------------------------------------------------------------------------------------- names, terminals


NAMES = {  # of folders, as bytes; and how the legend shows them
    "two dollars": (b"a$b$c", r"a\$b\$c"),
    "a formula": (rb"$\frac{x$", r"\$\frac{x\$"),
    "no UTF-8": (b"\xff\xfe", r"\udcff\udcfe"),
    "underscore": (b"_hidden", " _hidden"),
    "two lines": (b"a\nb", "a?b"),
    "markup": (b"[bold]x", "[bold]x"),
}


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_folder_will_do(name, folder, run, tmp_path, monkeypatch):
    given, shown = NAMES[name]
    link = os.fsencode(tmp_path) + b"/" + given
    os.symlink(os.fsencode(folder / "good"), link)
    monkeypatch.chdir(tmp_path)
    drawn, draw = [], plotting.power_spectrum
    monkeypatch.setattr(plotting, "power_spectrum", lambda power: drawn.append(draw(power)) or drawn[-1])
    code, text, error = run(os.fsdecode(given), "--out", "out")
    assert (code, error) == (0, "") and "22 images" in text
    assert [label.get_text() for label in drawn[0].axes[0].get_legend().get_texts()] == [shown]
    content = json.loads((tmp_path / "out" / "analysis.json").read_text(encoding="utf-8"))
    assert content["data"] == os.fsdecode(given) and "power.png" in content["pictures"]


def test_the_numbers_are_saved_before_anything_is_drawn(folder, run, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ValueError("it cannot be drawn")

    monkeypatch.setattr(plotting, "divergence_curves", fails)
    code, text, error = run(folder / "good", "--out", tmp_path)
    assert (code, error) == (1, "error: it cannot be drawn\n") and "Use " in text
    assert {file.name for file in tmp_path.iterdir()} == {"analysis.json", "plan.json"}
    assert json.loads((tmp_path / "analysis.json").read_text(encoding="utf-8"))["pictures"] == []


TERMINALS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "locale C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_terminal_that_shows_no_greek_gets_words(terminal, folder, tmp_path):
    settings = {k: v for k, v in os.environ.items() if k not in ("PYTHONIOENCODING", "LC_ALL", "PYTHONUTF8")}
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "subspace_sde",
        "analyse",
        folder / "good",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, env=settings | TERMINALS[terminal], check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    encoding = TERMINALS[terminal].get("PYTHONIOENCODING", "ascii")
    text = done.stdout.decode(encoding)
    times = "x" if encoding == "ascii" else "×"
    assert f"22 images of 3{times}16{times}16" in text and "which noise sigma/alpha beside" in text
    assert "Use " in text and f"written to {tmp_path / 'out'}: analysis.json, plan.json" in text


def test_words_for_the_signs_that_are_printed():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    cli.for_any_terminal()
    stream.reconfigure(errors="in ASCII")
    print("3×8, σ/α ⊥ é \udcff 日", file=stream, flush=True)
    assert stream.buffer.getvalue().decode() == "3x8, sigma/alpha _|_ \\xe9 \\udcff \\u65e5\n"
    assert all(unicodedata.category(c)[0] in "LSP" for c in cli._ASCII)


# --------------------------------------------------------------------------------------------------- of another class


def test_shapes_that_are_none():
    with pytest.raises(ValueError, match="shape must hold positive integers"):
        subspace_named("lowpass:4", (3, 0, 8))
    with pytest.raises(ValueError, match="do not exist in an array of 1 axes"):
        candidate_subspaces((8,), 4)
    with pytest.raises(ValueError, match="multiple_of must be an integer >= 1, got 0"):
        candidate_subspaces((3, 8, 8), 0)
