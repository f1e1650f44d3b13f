"""Configurations load, override and save; mistakes are named."""

import pytest

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.recipes import RECIPES, Recipe, get_recipe


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_survives_the_round_trip_through_json(name: str) -> None:
    recipe = get_recipe(name)
    assert config.from_dict(Recipe, config.to_dict(recipe)) == recipe


def test_overrides_reach_nested_settings_and_keep_the_rest() -> None:
    base = get_recipe("tiny")
    changed = config.override(base, ["video.training.max_steps=7", "trajectory.unet.channel_mult=[1,2,2]"])
    assert changed.video.training.max_steps == 7
    assert changed.trajectory.unet.channel_mult == (1, 2, 2)
    assert changed.vae == base.vae
    assert changed.video.unet == base.video.unet


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("video.training.max_step=7", r"^video\.training\.max_step: unknown configuration key 'max_step'"),
        ("video.training.max_steps=many", r"^video\.training\.max_steps: expected a valid integer, found 'many'"),
        ("video.training.max_steps", r"^video\.training\.max_steps: expected key=value"),
        ("name.deeper=1", r"^name\.deeper: name has no keys below it"),
        ("video.training.max_steps=0", "training.max_steps: must be at least 1"),
    ],
)
def test_a_wrong_override_is_named(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config.override(get_recipe("tiny"), [assignment])


def test_an_unknown_key_in_a_file_is_an_error_with_its_path() -> None:
    data = config.to_dict(get_recipe("tiny"))
    data["vae"]["training"]["learning_rat"] = 1.0
    with pytest.raises(InputError, match=r"vae\.training\.learning_rat: unknown configuration key"):
        config.from_dict(Recipe, data)


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="choose one of embedded, embedded-cpu, tiny"):
        get_recipe("huge")


def test_shipped_networks_fit_the_size_limit() -> None:
    """Shipped weights stay under 64 MiB in half precision."""
    import torch

    from mask2iv.backbones.dynamicrafter.resampler import Resampler
    from mask2iv.backbones.dynamicrafter.unet import VideoUNet

    for name in ("embedded", "embedded-cpu"):
        recipe = get_recipe(name)
        with torch.device("meta"):
            modules = [
                *(VideoUNet(stage.unet) for stage in (recipe.trajectory, recipe.video)),
                *(Resampler(stage.resampler) for stage in (recipe.trajectory, recipe.video)),
            ]
        parameters = sum(p.numel() for module in modules for p in module.parameters())
        assert 2 * parameters < 50 * 2**20, f"{name}: {2 * parameters / 2**20:.0f} MiB"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("15MiB", 15 * 2**20),
        ("15 mib", 15 * 2**20),
        ("20 MB", 20_000_000),
        ("1.5 GB", 1_500_000_000),
        ("64kb", 64_000),
        ("2G", 2_000_000_000),
        ("1024B", 1024),
        ("2048", 2048),
    ],
)
def test_sizes_are_read_in_both_kinds_of_units(text: str, size: int) -> None:
    assert config.parse_bytes(text, "x") == size


@pytest.mark.parametrize("text", ["", "-5MiB", "many", "15 MiBs", "0", "1023"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^x: must be .*, found"):
        config.parse_bytes(text, "x", least=1024)
