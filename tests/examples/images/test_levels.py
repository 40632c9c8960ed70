"""Levels and the plans that they make."""

import pytest
import torch

from examples.images import plans
from examples.images.levels import file_name, load_levels, unet
from subspace_sde import Wavelet
from tests.examples.images.commands import TINY, invoke


def test_the_plans_are_those_that_analyse_prints_or_the_one_that_it_recommends():
    found = {"recommended": {"levels": ["a", "b"]}, "plans": [{"levels": ["c"]}, {"levels": ["a", "b"]}]}
    assert plans.recommended(found, every=True) == {"full": [], "1-level": ["c"], "2-level": ["a", "b"]}
    assert plans.recommended(found, every=False) == {"full": [], "2-level": ["a", "b"]}
    assert plans.levels_of(plans.recommended(found, every=True)) == ["full", "c", "a", "b"]
    assert plans.recommended({"recommended": {"levels": []}}, every=False) == {"full": []}


def test_any_kind_of_level_makes_a_plan_of_its_own(data, tmp_path):
    levels = ["full", "db2:4", "lowpass:8", "db2:8"]
    assert plans.plans_of(levels) == {"full": [], "db2": ["db2:8", "db2:4"], "lowpass": ["lowpass:8"]}
    mixed = ["lowpass:4", "lowpass:12x16", "lowpass:8"]
    assert plans.plans_of(mixed)["lowpass"] == ["lowpass:12x16", "lowpass:8", "lowpass:4"]
    assert file_name("db2:8") == "db2-8.safetensors"
    invoke("train", "--data", data, "--out", tmp_path, "--level", "db2:8", *TINY[2:], "--steps", 1, "--device", "cpu")
    found = load_levels(tmp_path, ["full", "db2:8"], (3, 16, 16), torch.device("cpu"))
    assert isinstance(found["db2:8"].subspace, Wavelet) and found["db2:8"].subspace.shape == (3, 8, 8)


def test_odd_sizes_are_refused_with_the_mend():
    with pytest.raises(ValueError, match="divisible by 4"):
        unet((3, 18, 18), (8, 8, 8), 1)


def test_plans_use_only_levels_that_meet_the_threshold_in_order():
    found = {"levels": {"lowpass:20": {"t": 0.3}, "lowpass:8": {"t": 0.45}, "downsampling:16": {"t": None}}}
    assert plans.usable(["lowpass:20", "lowpass:8"], found) == ["lowpass:20", "lowpass:8"]
    assert plans.usable(["downsampling:16"], found) == []
    found["levels"]["lowpass:20"]["t"] = 0.5
    assert plans.usable(["lowpass:20", "lowpass:8"], found) == ["lowpass:8"]
