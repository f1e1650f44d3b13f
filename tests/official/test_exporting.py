"""Export of imported models to original checkpoints, and joined stages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.manifest import weight_hashes
from mask2iv.models.text import token_ids
from mask2iv.official.exporting import export_checkpoint
from mask2iv.official.importing import ImportSettings, import_checkpoint
from mask2iv.official.joining import join_stages
from mask2iv.pipelines.pipeline import Mask2IVPipeline

pytestmark = pytest.mark.usefixtures("no_open_clip")

IMAGE = np.random.RandomState(0).randint(0, 256, (32, 64, 3)).astype(np.uint8)
MASK = np.zeros((32, 64), dtype=bool)
MASK[4:24, 10:40] = True
State = dict[str, Tensor]
Save = Callable[..., tuple[Path, Path]]
Same = Callable[[State, State], bool]


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_export_gives_back_every_tensor(golden: Any, tmp_path: Path, suffix: str, same: Same) -> None:
    state, config, folder, _ = golden
    out = tmp_path / f"back{suffix}"
    summary = export_checkpoint(folder, "video", out)
    found = load_file(out) if suffix == ".safetensors" else torch.load(out, weights_only=True)["state_dict"]
    known = {key: value for key, value in state.items() if key != "model.mask_attention.weight"}
    assert same(found, known)
    assert summary.zeroed == summary.copied == []
    (tmp_path / "flags.json").write_text(json.dumps(config))
    settings = ImportSettings("video", "fp32", config=tmp_path / "flags.json", shard_bytes=8_000_000)
    import_checkpoint(out, tmp_path / "again", settings)
    assert weight_hashes(tmp_path / "again") == weight_hashes(folder)


def test_tables_and_twins_that_differ_in_the_last_digit_come_back_too(
    tmp_path: Path, checkpoints: ModuleType, save: Save, same: Same
) -> None:
    state, config = checkpoints.small_checkpoint()
    state["posterior_mean_coef2"] = torch.nextafter(state["posterior_mean_coef2"], torch.tensor(2.0))
    state["embedder.model.ln_final.bias"] = state["embedder.model.ln_final.bias"] + 1
    path, flags = save(tmp_path, state, config)
    report = import_checkpoint(path, tmp_path / "model", ImportSettings("video", "fp32", config=flags))
    assert {"posterior_mean_coef2", "embedder.model.ln_final.bias"} <= set(report["keys"]["carried"])
    export_checkpoint(tmp_path / "model", "video", tmp_path / "back.ckpt")
    assert same(torch.load(tmp_path / "back.ckpt", weights_only=True)["state_dict"], state)


def test_a_folder_without_extras_exports_copies_and_zeros(small: Path, tmp_path: Path) -> None:
    Mask2IVPipeline.from_pretrained(small / "video").save_pretrained(tmp_path / "trained")
    summary = export_checkpoint(tmp_path / "trained", "video", tmp_path / "out.ckpt", "fp16")
    assert set(summary.zeroed) == {
        "cond_stage_model.model.text_projection",
        "cond_stage_model.model.logit_scale",
        "embedder.model.text_projection",
        "embedder.model.logit_scale",
        "embedder.model.visual.proj",
    }
    assert len(summary.copied) == 4
    found = torch.load(tmp_path / "out.ckpt", weights_only=True)["state_dict"]
    expected = torch.load(small / "second.ckpt", weights_only=True)["state_dict"]
    tables = set(NoiseSchedule().checkpoint_buffers())
    assert {key: value.shape for key, value in found.items()} == {key: v.shape for key, v in expected.items()}
    for key, value in found.items():
        if key in tables:
            assert torch.equal(value, expected[key]), key
        else:
            assert value.dtype == torch.float16
            assert torch.equal(value, torch.zeros_like(value) if key in summary.zeroed else expected[key].half()), key


def test_the_joined_stages_generate(small: Path, checkpoints: ModuleType) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(small / "joined")
    assert token_ids(pipeline.encoder.tokenizer, ["hand"])[0, 0] == 514 + len(checkpoints.MERGES) - 2
    run = pipeline(
        IMAGE,
        MASK,
        "a hand pushing a box",
        num_inference_steps=2,
        video_num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )
    assert run.frames[0].shape == (4, 32, 64, 3)
    alone = Mask2IVPipeline.from_pretrained(small / "video").render(
        IMAGE, run.trajectory[0], num_inference_steps=2, generator=torch.Generator().manual_seed(0), progress=False
    )
    assert alone[0].shape == (4, 32, 64, 3)


def test_each_stage_of_a_joined_folder_exports_what_it_was(small: Path, tmp_path: Path, same: Same) -> None:
    for stage, name in (("trajectory", "first"), ("video", "second")):
        out = tmp_path / f"{name}.ckpt"
        export_checkpoint(small / "joined", stage, out)  # type: ignore[arg-type]
        expected = torch.load(small / f"{name}.ckpt", weights_only=True)["state_dict"]
        assert same(torch.load(out, weights_only=True)["state_dict"], expected)


def test_join_refuses_different_components_and_sizes(
    small: Path, tmp_path: Path, checkpoints: ModuleType, save: Save
) -> None:
    state, config = checkpoints.small_checkpoint()
    state["first_stage_model.quant_conv.bias"] = state["first_stage_model.quant_conv.bias"] + 1e-3
    path, flags = save(tmp_path, state, config)
    import_checkpoint(path, tmp_path / "vae", ImportSettings("video", "fp32", config=flags))
    config["height"] = 64
    path, flags = save(tmp_path, torch.load(small / "first.ckpt", weights_only=True)["state_dict"], config)
    import_checkpoint(path, tmp_path / "height", ImportSettings("video", "fp32", config=flags))
    for folder, message in (
        ("vae", "^video: the component vae differs from the trajectory stage's"),
        ("height", "^video: differs from the trajectory stage in height: found 64, expected 32;"),
    ):
        with pytest.raises(InputError, match=message):
            join_stages(small / "text", tmp_path / folder, tmp_path / "out")
    shutil.copytree(small / "text", tmp_path / "half", ignore=shutil.ignore_patterns("trajectory_unet"))
    with pytest.raises(InputError, match=r"half: the component trajectory_unet is missing"):
        join_stages(tmp_path / "half", small / "video", tmp_path / "out")
    with pytest.raises(InputError, match=r"^video: .* holds no video_unet"):
        join_stages(small / "text", small / "text", tmp_path / "out")
    assert not (tmp_path / "out").exists()
