"""What the pages show of a call of diffusers' networks is run on a real one, and compared with the call by a tensor."""

import re
from pathlib import Path

import pytest
import torch

from tests.diffusers.networks import unet

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
TEXTS = [*PAGES, *sorted((REPOSITORY / "subspace_sde").rglob("*.py")), *sorted((REPOSITORY / "examples").rglob("*.py"))]
BLOCK = re.compile(r"```python( continuation)?\n(.*?)```", re.DOTALL)
ASKED = re.compile(r"(?:network|unet)\(\s*x\s*,\s*([^)\n]*?)\s*(?:,\s*class_labels=\w+)?\)\.sample")


def chains(page):
    """The code of a page as it runs: each block behind those that it goes on from."""
    found = []
    for continued, code in BLOCK.findall(page.read_text()):
        found.append(found.pop() + code if continued else code)
    return found


SHOWN = {(page.name, i): code for page in PAGES for i, code in enumerate(chains(page)) if ASKED.search(code)}


@pytest.mark.parametrize("where", SHOWN, ids=str)
def test_a_documented_call_keeps_the_fraction_of_the_time(where):
    """Of step 1000 t − 1: a number and nine tenths of a step, and one for each sample."""
    shown = {}
    exec(compile(SHOWN[where], str(where), "exec"), shown)
    net = next(value for value in shown.values() if type(value).__name__ == "UNet2DModel").double()
    predicts = next(value for name, value in shown.items() if name in ("noise_at", "predicts_noise") and _asks(value))
    x = torch.randn((2, 3, net.config.sample_size, net.config.sample_size), dtype=torch.float64)
    for t in (950.9 / 1000, torch.tensor([950.9, 3.25]) / 1000):
        with torch.no_grad():
            expected = net(x, (1000 * t - 1) * torch.ones(2)).sample
            torch.testing.assert_close(predicts(x, t), expected, rtol=1e-9, atol=1e-9)
            assert not torch.allclose(expected[:1], net(x[:1], 949).sample, rtol=1e-7, atol=1e-7)


def _asks(function):
    return {"sample", "zeros"} <= set(function.__code__.co_names)


def test_both_pages_show_one():
    assert {name for name, _ in SHOWN} == {"diffusers.md", "scores.md"}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_text_hands_a_number_to_a_network(text):
    for label in ASKED.findall(text.read_text()):
        assert label in ("step", "t") or label.replace(".", "").isdigit(), (
            f"a label that may be a Python float: {label}"
        )


def test_what_a_python_float_comes_to():
    """As the page says: the whole number alone, and with Fourier labels no number."""
    x = torch.randn((1, 3, 8, 12), dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(unet()(x, 949.9).sample, unet()(x, 949).sample)
        assert torch.isnan(unet(time_embedding_type="fourier")(x, 0.5).sample).all()
