"""Folders as diffusers writes them, old and new, names on the hub, and checkpoints that are refused."""

import json
import time

import diffusers
import numpy as np
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from subspace_sde.diffusers import pretrained
from tests.diffusers.networks import SHAPE, noise, unet

WEIGHTS = "diffusion_pytorch_model.safetensors"


def write(file, content):
    file.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    """The network at the root, as the first repositories have it."""
    unet().float().save_pretrained(tmp_path)
    diffusers.DDPMScheduler(clip_sample=False).save_pretrained(tmp_path)
    return tmp_path


def scheduler_config(root, **changes):
    write(root / "scheduler_config.json", {"_class_name": "DDPMScheduler", "clip_sample": False, **changes})


def test_a_network_at_the_root(root):
    model, exact = pretrained(root), pretrained((unet(), diffusers.DDPMScheduler(clip_sample=False)))
    assert model.shape == SHAPE and model.sde == exact.sde and not model.network.training
    x = noise(2)
    with torch.no_grad():
        torch.testing.assert_close(model.score(x.float(), 0.5).double(), exact.score(x, 0.5), rtol=1e-3, atol=1e-4)
    assert pretrained(str(root)).sde == model.sde


def test_a_pipeline_in_a_folder(tmp_path):
    diffusers.DDPMPipeline(unet=unet(), scheduler=diffusers.DDPMScheduler(clip_sample=False)).save_pretrained(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model_index.json", "scheduler", "unet"]
    model = pretrained(tmp_path)
    assert model.shape == SHAPE and not model.latent


def test_latents(root):
    (root / "vae").mkdir()
    write(root / "vae" / "config.json", {"_class_name": "AutoencoderKL"})  # as Stable Diffusion 1.5 has it
    model = pretrained(root)
    assert model.latent and (model.scale, model.offset) == (0.18215, 0.0)
    write(root / "vae" / "config.json", {"_class_name": "AutoencoderKL", "scaling_factor": 2.0, "shift_factor": 0.5})
    assert (pretrained(root).scale, pretrained(root).offset) == (2.0, -1.0)
    write(root / "vae" / "config.json", {"_class_name": "AutoencoderKL", "latents_mean": [0.0]})
    with pytest.raises(ValueError, match="latents_mean and latents_std of the autoencoder are unknown here"):
        pretrained(root)
    write(root / "vae" / "config.json", {"_class_name": "AutoencoderOfTomorrow"})
    with pytest.raises(ValueError, match=r"the autoencoder AutoencoderOfTomorrow in .* is unknown to diffusers"):
        pretrained(root)


def test_old_configs(root):
    old = {
        "_class_name": "GaussianDDPMScheduler",
        "timesteps": 500,
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "variance_type": "fixed_small",
        "clip_predicted_image": False,
        "tensor_format": "pt",
    }
    write(root / "scheduler_config.json", old)
    sde = pretrained(root).sde
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 500))
    assert len(sde.times) == 500
    np.testing.assert_allclose(sde.alphas**2, alpha_bar, rtol=1e-5)
    write(root / "scheduler_config.json", {**old, "clip_predicted_image": True})
    with pytest.warns(UserWarning, match="clip_sample=True"):
        pretrained(root)
    x = noise(1).float()
    for old_key, prediction in ((True, "epsilon"), (False, "sample")):
        scheduler_config(root, predict_epsilon=old_key)
        found = pretrained(root)
        scheduler_config(root, prediction_type=prediction)
        with torch.no_grad():
            assert torch.equal(found.score(x, 0.5), pretrained(root).score(x, 0.5))


def test_fields_of_another_scheduler_are_known(root):
    """Stable Diffusion's PNDM has them from the DDIM that it was made of."""
    scheduler_config(root, _class_name="PNDMScheduler", clip_sample=False, skip_prk_steps=True, steps_offset=1)
    assert pretrained(root).sde.T == 1.0


def test_unknown_fields(root):
    scheduler_config(root, noise_colour="pink")
    with pytest.raises(ValueError, match="unknown field 'noise_colour' in the config of the scheduler DDPMScheduler"):
        pretrained(root)
    scheduler_config(root, _class_name="PNDMScheduler", rescale_betas_zero_snr=True)  # which it has not
    with pytest.raises(ValueError, match="unknown field 'rescale_betas_zero_snr' in the config of the scheduler PNDM"):
        pretrained(root)
    scheduler_config(root, beta_schedule="wild")
    with pytest.raises(
        ValueError, match="the config of the scheduler DDPMScheduler does not fit: wild is not implemented"
    ):
        pretrained(root)
    scheduler_config(root, _class_name="ScoreSdeVpScheduler")
    with pytest.raises(ValueError, match="the scheduler ScoreSdeVpScheduler is unknown here"):
        pretrained(root)
    scheduler_config(root)
    config = json.loads((root / "config.json").read_text())
    write(root / "config.json", {**config, "time_embedding_colour": "pink"})
    with pytest.raises(ValueError, match=r"unknown field 'time_embedding_colour' in .*config.json: .* is not guessed"):
        pretrained(root)
    write(root / "config.json", {**config, "_class_name": "UNet1DModel"})
    with pytest.raises(ValueError, match=r"no network that is known here \(UNet2DModel, .*\), but UNet1DModel in"):
        pretrained(root)
    write(root / "config.json", [])
    with pytest.raises(ValueError, match=r"config.json holds no config, but a list"):
        pretrained(root)
    (root / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is no JSON"):
        pretrained(root)
    (root / "config.json").unlink()
    with pytest.raises(ValueError, match=r"holds no network that is known here .*, but no config.json of one"):
        pretrained(root)


def test_a_folder_without_a_scheduler(root):
    (root / "scheduler_config.json").unlink()
    with pytest.raises(ValueError, match=r"has no scheduler_config.json, neither there nor under scheduler/"):
        pretrained(root)


def test_pickles_are_refused(root):
    weights = load_file(root / WEIGHTS)
    (root / WEIGHTS).unlink()
    with pytest.raises(ValueError, match="has no weights as safetensors, but none"):
        pretrained(root)
    pickle = root / "diffusion_pytorch_model.bin"
    torch.save(weights, pickle)
    with pytest.raises(
        ValueError, match=r"but a pickle, diffusion_pytorch_model.bin, .* torch.load\(file, weights_only=T"
    ):
        pretrained(root)
    with pytest.raises(ValueError, match="is a pickle, which can run any code as it is read, and is refused"):
        pretrained(pickle)
    network = unet().float()  # as the message says
    network.load_state_dict(torch.load(pickle, weights_only=True))
    assert pretrained((network, diffusers.DDPMScheduler(clip_sample=False))).shape == SHAPE


def test_weights_that_do_not_fit_the_config(root):
    weights = load_file(root / WEIGHTS)
    first, *_, last = sorted(weights)
    for changed, sentence in (
        ({key: value for key, value in weights.items() if key != last}, f"do not match: missing {last}"),
        ({**weights, "more": torch.zeros(1)}, "do not match: unexpected more"),
        ({**weights, first: torch.zeros(1)}, "do not match: "),
    ):
        save_file(changed, root / WEIGHTS)
        with pytest.raises(ValueError, match=sentence) as refused:
            pretrained(root)
        assert "\n" not in str(refused.value)
    (root / WEIGHTS).write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match="do not match: "):
        pretrained(root)


def test_what_does_not_exist(tmp_path):
    for source in (tmp_path / "nothing", str(tmp_path / "nothing"), "nothing", "./a/b"):
        with pytest.raises(ValueError, match="does not exist: give a folder, a name on the hub"):
            pretrained(source)
    (tmp_path / "a.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="is a file: give the folder with the config beside the weights"):
        pretrained(tmp_path / "a.safetensors")


def test_a_name_on_the_hub_without_a_connection():
    started = time.monotonic()
    with pytest.raises(
        ValueError, match=r"the hub gave no google/nothing-of-it .* pretrained\('path/to/nothing-of-it'\)"
    ):
        pretrained("google/nothing-of-it")
    assert time.monotonic() - started < 30  # it waits for nothing


def test_a_name_in_the_hubs_cache(root, monkeypatch):
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **how: (asked.append((name, how)), root)[1])
    assert pretrained("google/ddpm-cifar10-32").shape == SHAPE
    [(name, how)] = asked
    assert name == "google/ddpm-cifar10-32"
    held = """model_index.json config.json unet/config.json vae/config.json scheduler/scheduler_config.json
        diffusion_pytorch_model.safetensors unet/diffusion_pytorch_model-00001-of-00002.safetensors"""
    more = """diffusion_pytorch_model.bin unet/diffusion_pytorch_model.fp16.safetensors v1-5-pruned.safetensors
        vae/diffusion_pytorch_model.safetensors text_encoder/model.safetensors unet/diffusion_pytorch_model.bin"""
    assert list(filter_repo_objects([*held.split(), *more.split()], **how)) == held.split()
