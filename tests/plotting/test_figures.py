"""Every picture draws where it is told, is saved whole or not at all, and imports matplotlib alone."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from subspace_sde.plotting import cost_against_threshold, divergence_curves, plan_bar, power_spectrum, save
from tests.plotting.drawn import CURVES, PLANS, THRESHOLD

DRAWN = {
    "divergence": lambda ax: divergence_curves(CURVES, THRESHOLD, ax=ax),
    "cost": lambda ax: cost_against_threshold([1e-3, 1e-2], {"a": [0.5, 0.25]}, ax=ax),
    "plan": lambda ax: plan_bar(PLANS[1], ax=ax),
    "power": lambda ax: power_spectrum({"a": np.ones(8)}, ax=ax),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_they_draw_on_the_axes_they_are_given(draw):
    figure = Figure(layout="constrained")
    part = figure.subfigures(1, 2)[1]
    first, second = figure.subfigs[0].subplots(), part.subplots()
    assert draw(second) is figure and second.get_xlabel() and not first.get_xlabel()
    bare = Figure()
    assert draw(bare.subplots()) is bare and len(bare.axes) == 1
    own = draw(None)
    assert type(own) is Figure and own not in (figure, bare)
    with pytest.raises(TypeError, match="ax is one matplotlib Axes, got ndarray"):
        draw(np.asarray([first, second]))


@pytest.mark.parametrize(
    "suffix, head", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_a_figure_is_saved_by_its_suffix(tmp_path, suffix, head):
    path = tmp_path / f"figure.of.mine.{suffix}"
    save(power_spectrum({"a": np.ones(8)}), str(path))
    assert path.read_bytes().startswith(head)
    assert list(tmp_path.iterdir()) == [path]


def test_dpi_is_pixels_an_inch(tmp_path):
    save(Figure(figsize=(2, 1)), tmp_path / "a.png")
    save(Figure(figsize=(2, 1)), tmp_path / "b.png", dpi=50)
    for name, size in (("a.png", (240, 120)), ("b.png", (100, 50))):
        with Image.open(tmp_path / name) as image:
            assert image.size == size


def test_a_figure_is_saved_whole_or_not_at_all(tmp_path):
    class Broken(Figure):
        def savefig(self, path, **options):
            path.write_bytes(b"half of it")
            raise OSError("the disk is full")

    path = tmp_path / "a.png"
    path.write_bytes(b"the old one")
    with pytest.raises(OSError, match="disk is full"):
        save(Broken(), path)
    assert path.read_bytes() == b"the old one" and list(tmp_path.iterdir()) == [path]
    with path.open("rb") as reader:  # who reads the old one reads it to its end
        save(Figure(figsize=(1, 1)), path)
        assert reader.read() == b"the old one" and path.read_bytes().startswith(b"\x89PNG")


FRESH = """
import sys
import numpy as np
import subspace_sde, subspace_sde.plotting
assert "matplotlib" not in sys.modules
if MISSING:
    sys.modules["matplotlib"] = None
try:
    subspace_sde.plotting.power_spectrum({"a": np.ones(4)})
except ImportError as error:
    print(error)
assert "matplotlib.pyplot" not in sys.modules and "torch" not in sys.modules
"""


@pytest.mark.parametrize(
    "missing, said",
    [(False, ""), (True, 'the pictures are drawn by matplotlib: pip install "subspace-sde[plot]"')],
    ids=["there", "missing"],
)
def test_matplotlib_is_imported_by_the_first_picture_and_pyplot_never(missing, said):
    code = FRESH.replace("MISSING", str(missing))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == said
