"""Each variant changes what it should and nothing else."""

from itertools import pairwise
from typing import Any

import pytest

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.experiments.variants import TABLES, VARIANTS, get_variant
from mask2iv.recipes import get_recipe

VIDEO, TRAJECTORY = "pipeline.video_conditioning", "trajectory"


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {k: v for key, inner in value.items() for k, v in flat(inner, f"{path}.{key}".lstrip(".")).items()}


def changes(name: str, base: str = "tiny") -> dict[str, Any]:
    before, after = flat(config.to_dict(get_recipe(base))), flat(config.to_dict(get_variant(f"{base}:{name}")))
    return {key: value for key, value in after.items() if before[key] != value and key != "name"}


# Tiny latents have 16 channels: noisy, image and trajectory make 48.
PLAIN = {"video.perturb": 0.0, "video.loss_weight": 1.0}
EXPECTED = {
    "dynamicrafter": {**PLAIN, f"{VIDEO}.control": "none", f"{VIDEO}.text": True, "video.unet.in_channels": 32},
    "coshand": {
        **PLAIN,
        f"{VIDEO}.masks": "actor",
        f"{VIDEO}.frames_together": False,
        "video.unet.in_channels": 64,
        "video.unet.temporal_attention": False,
        "video.unet.temporal_conv": False,
        "video.unet.init_attention": False,
        "video.resampler.video_length": 1,
    },
    "interdyn": {
        **PLAIN,
        f"{VIDEO}.control": "controlnet",
        f"{VIDEO}.masks": "actor",
        "video.unet.in_channels": 32,
    },
    "actor-concat": {**PLAIN, f"{VIDEO}.masks": "actor"},
    "both-concat": PLAIN,
    "both-perturbed": {"video.loss_weight": 1.0},
    "mask2iv": {},
    "text-only": {"pipeline.mask_layout": "text", "trajectory.unet.in_channels": 48},
    "position-only": {
        "pipeline.mask_layout": "position",
        "trajectory.unet.in_channels": 48,
        "trajectory.drop_target": 0.0,
        "trajectory.drop_text": 1.0,
    },
    "joint": {},
    "joint-reweighted": {"trajectory.loss_weight": 1.0},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_exactly_what_it_says(name: str) -> None:
    assert changes(name) == EXPECTED[name]


def test_where_the_base_has_no_foreground_weight_the_papers_is_tried() -> None:
    assert changes("joint-reweighted", "embedded-cpu") == {
        "trajectory.loss_weight": 5.0,
        "trajectory.foreground_loss": "squared-error",
    }


def test_each_step_of_the_ablation_takes_over_all_but_what_it_adds() -> None:
    steps = ["actor-concat", "both-concat", "both-perturbed", "mask2iv"]
    added = [
        {key for key, value in changes(before).items() if changes(after).get(key) != value}
        for before, after in pairwise(steps)
    ]
    assert added == [{f"{VIDEO}.masks"}, {"video.perturb"}, {"video.loss_weight"}]


def test_unknown_names_are_reported_with_the_known_ones() -> None:
    with pytest.raises(
        InputError, match="recipe 'tiny:coshnd': 'coshnd' is no variant; choose one of dynamicrafter, coshand"
    ):
        get_variant("tiny:coshnd")
    with pytest.raises(InputError, match="recipe: 'large' is not known"):
        get_variant("large:coshand")


def test_tables_name_known_variants_and_each_row_once() -> None:
    for rows in TABLES.values():
        assert len({row.name for row in rows}) == len(rows)
        assert all(VARIANTS[name].component == "video" for row in rows for name in [row.video] if name)
        assert all(VARIANTS[name].component == "trajectory" for row in rows for name in [row.trajectory] if name)
        assert all((row.asked is None) == (row.trajectory is None) for row in rows)


def test_the_base_is_changed_before_a_variant_makes_its_own_of_it() -> None:
    changes = ["video.perturb=0.5", "video.resampler.video_length=8"]
    assert get_variant("tiny:mask2iv", changes).of("video").perturb == 0.5
    assert get_variant("tiny:both-concat", changes).of("video").perturb == 0.0
    assert get_variant("tiny:both-concat", changes).of("video").resampler.video_length == 8
    assert get_variant("tiny:coshand", changes).of("video").resampler.video_length == 1
