"""What a level file says fits its weights, and itself: all else is refused before a network is built."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from examples.images.levels import Level, unet
from subspace_sde import VE, Downsampling, Identity, LowPass
from subspace_sde.specification import register, specify


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The file of a level, its tensors, and what it says."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("levels") / "lowpass-8.safetensors"
    Level("lowpass:8", VE(), LowPass((3, 16, 16), 8), 0.5, 0.3, (8, 8), 1, unet((3, 8, 8), (8, 8), 1)).save(path)
    with safe_open(path, framework="pt") as file:
        return path, {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def refusal(tmp_path, written, about=None, text=None, tensors=None):
    _, weights, metadata = written
    path = tmp_path / "lowpass-8.safetensors"
    text = json.dumps(json.loads(metadata["level"]) | (about or {})) if text is None else text
    save_file(tensors or weights, path, metadata={**metadata, "level": text})
    with pytest.raises(
        ValueError, match=r"lowpass-8.safetensors does not fit the level that it describes: "
    ) as refused:
        Level.load(path)
    assert "\n" not in str(refused.value).split("describes: ")[0]
    return str(refused.value)


def test_what_was_written_is_read(written):
    level = Level.load(written[0])
    assert (level.mean, level.sigma_data, level.subspace) == (0.5, 0.3, LowPass((3, 16, 16), 8))


SAYS = {
    "no noise to be told from": ({"sigma_data": 0.0}, "sigma_data is positive, got 0.0"),
    "negative": ({"sigma_data": -1.0}, "sigma_data is positive, got -1.0"),
    "NaN": ({"sigma_data": float("nan")}, "sigma_data is a finite number, got nan"),
    "a string": ({"sigma_data": "0.3"}, "`sigma_data` takes a number, got '0.3'"),
    "mean NaN": ({"mean": float("nan")}, "mean is a finite number, got nan"),
    "mean null": ({"mean": None}, "`mean` takes a number, got None"),
    "another subspace": ({"subspace": specify(Downsampling((3, 16, 16), 2))}, "lowpass:8 is another subspace than"),
    "the full space": ({"subspace": specify(Identity((3, 8, 8)))}, "lowpass:8 is no smaller image"),
    "an SDE for a subspace": ({"subspace": specify(VE())}, "`subspace` takes an object like LowPass"),
    "a subspace for an SDE": ({"sde": specify(LowPass((3, 16, 16), 8))}, "`sde` takes an object like VE()"),
    "null for an SDE": ({"sde": None}, "a specification is a dictionary with a kind, got NoneType"),
    "a name of nothing": ({"name": "blur:8"}, "unknown level 'blur:8'"),
    "very many layers": ({"layers": 10**6}, "its weights are those of a smaller network"),
    "very many resolutions": ({"channels": [8] * 10**4}, "its weights are those of a smaller network"),
    "very wide": ({"channels": [8, 10**9]}, "its weights are those of a smaller network"),
    "layers of text": ({"layers": "1"}, "`layers` takes a whole number, got '1'"),
    "shared by text": ({"shared": "full"}, "`shared` takes"),
    "shared by numbers": ({"shared": [1]}, "`shared` takes"),
    "shared by others": ({"shared": ["full", "lowpass:4"]}, "lowpass:8 is none of the levels of its network"),
    "channels of text": ({"channels": "88"}, "`channels` takes a sequence of whole numbers, got '88'"),
}


@pytest.mark.parametrize("case", SAYS)
def test_what_contradicts_itself_is_refused(case, tmp_path, written, monkeypatch):
    monkeypatch.setattr("examples.images.levels.unet", lambda *_: pytest.fail("a network was built"))
    about, message = SAYS[case]
    assert message in refusal(tmp_path, written, about)


@pytest.mark.parametrize("text", ["null", "[]", "3", '"level"', '{"name": "a", "name": "b"}', "{", "[" * 10**5])
def test_a_description_that_is_none(text, tmp_path, written):
    refusal(tmp_path, written, text=text)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value, tmp_path, written):
    name, tensor = next((k, v.clone()) for k, v in written[1].items())
    tensor.view(-1)[-1] = value
    assert "its weights hold NaN or infinity" in refusal(tmp_path, written, tensors={**written[1], name: tensor})


@register
class Signs(LowPass):
    """A subspace of one's own."""

    def __init__(self, shape):
        super().__init__(shape, 8)

    def arguments(self):
        return {"shape": list(self.ambient_shape)}


@register
class Long(VE):
    """An SDE of one's own."""

    def __init__(self, sigma_max=90.0):
        super().__init__(0.01, sigma_max)

    def arguments(self):
        return {"sigma_max": self.sigma_max}


def test_a_level_of_ones_own_classes(tmp_path):
    torch.manual_seed(0)
    level = Level("signs", Long(70.0), Signs((3, 16, 16)), 0.5, 0.3, (8, 8), 1, unet((3, 8, 8), (8, 8), 1))
    level.save(tmp_path / "signs.safetensors")
    again = Level.load(tmp_path / "signs.safetensors")
    assert (again.sde, again.subspace, again.name) == (Long(70.0), Signs((3, 16, 16)), "signs")
    x = torch.randn((1, 3, 8, 8))
    torch.testing.assert_close(again.score(x, 0.5), level.score(x, 0.5))
