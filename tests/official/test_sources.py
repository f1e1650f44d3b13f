"""Checkpoints that are wrapped, pruned, of other kinds, or hold more than the networks here have a place for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mask2iv.cli import main
from mask2iv.errors import InputError
from mask2iv.manifest import weight_hashes
from mask2iv.official.exporting import export_checkpoint
from mask2iv.official.importing import ImportSettings, import_checkpoint
from mask2iv.official.layout import detect_layout
from mask2iv.pipelines.pipeline import Mask2IVPipeline

pytestmark = pytest.mark.usefixtures("no_open_clip")

State = dict[str, Tensor]
UNET = "model.diffusion_model."
BLOCK = f"{UNET}input_blocks.1.1.transformer_blocks.0"


def second(small: Path) -> State:
    state: State = torch.load(small / "second.ckpt", weights_only=True)["state_dict"]
    return state


def bring_in(small: Path, tmp_path: Path, state: State, *ignore: str) -> dict[str, Any]:
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    settings = ImportSettings("video", "fp32", config=small / "first.json", ignore_keys=ignore)
    return import_checkpoint(tmp_path / "a.ckpt", tmp_path / "model", settings)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_forward_module.module.", "module._orig_mod."])
def test_what_wrappers_put_before_every_key_is_taken_off(small: Path, tmp_path: Path, prefix: str) -> None:
    report = bring_in(small, tmp_path, {prefix + key: value for key, value in second(small).items()})
    assert report["source"]["prefix"] == prefix
    assert weight_hashes(tmp_path / "model") == weight_hashes(small / "video")


def test_one_compiled_network_is_read_too(small: Path, tmp_path: Path) -> None:
    compiled = {key.replace(UNET, f"{UNET}_orig_mod."): value for key, value in second(small).items()}
    bring_in(small, tmp_path, compiled)
    assert weight_hashes(tmp_path / "model") == weight_hashes(small / "video")


def test_a_pruned_file_gives_the_same_networks(
    small: Path, tmp_path: Path, same: Callable[[State, State], bool]
) -> None:
    """Without the schedule's tables, which are computed, and without what no network uses."""
    state = second(small)
    networks = (UNET, "image_proj_model.", "first_stage_model.", "cond_stage_model.model.", "embedder.model.")
    idle = [key for key in state if key.endswith(("logit_scale", "text_projection", "visual.proj"))]
    pruned = {key: value for key, value in state.items() if key.startswith(networks) and key not in idle}
    report = bring_in(small, tmp_path, pruned)
    assert set(report["keys"]["absent"]) == set(state) - set(pruned) >= {"betas", "scale_arr", *idle}
    found, whole = (Mask2IVPipeline.from_pretrained(folder) for folder in (tmp_path / "model", small / "video"))
    assert found.scheduler.config == whole.scheduler.config
    assert same(found.video_stage.unet.state_dict(), whole.video_stage.unet.state_dict())  # type: ignore[union-attr]
    summary = export_checkpoint(tmp_path / "model", "video", tmp_path / "back.ckpt")
    back = torch.load(tmp_path / "back.ckpt", weights_only=True)["state_dict"]
    assert set(back) == set(state), "an export has all keys"
    assert same({key: back[key] for key in pruned}, pruned)
    assert {key for key in idle if key in summary.zeroed} >= {"embedder.model.visual.proj"}


def test_a_pruned_dynamicrafter_must_be_named() -> None:
    with pytest.raises(
        InputError, match=r"layout auto: must be 256, 512 or 1024, found no scale_arr .*; name the layout"
    ):
        detect_layout([f"{UNET}out.2.weight"], None)


# What a stage 2 with mask attention and object tokens may hold besides the concatenation model.
MORE = {
    f"{BLOCK}.attn2_mask.to_q.weight": (4, 4),
    f"{BLOCK}.attn2_mask.to_k.weight": (4, 4),
    f"{BLOCK}.norm2_2.weight": (4,),
    f"{BLOCK}.obj_attn.to_q.weight": (4, 4),
    f"{UNET}mask_mlp.0.weight": (4, 4),
    f"{UNET}obj_mlp.0.weight": (4, 4),
    "obj_embedder.model.cls_token": (1, 1, 4),
    "object_proj_model.net.0.weight": (4, 4),
}
GROUPS = ("attn2_mask", "norm2_2", "obj_attn", "mask_mlp", "obj_mlp", "obj_embedder", "object_proj_model")


def test_keys_without_a_place_are_refused_by_group_until_each_is_accepted(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {**second(small), **{key: torch.zeros(shape) for key, shape in MORE.items()}}
    with pytest.raises(InputError) as refused:
        bring_in(small, tmp_path, state)
    for name, count in zip(GROUPS, (2, 1, 1, 1, 1, 1, 1), strict=True):
        assert f"{name} ({count}, as " in str(refused.value)
    assert refused.value.remedy == f"if it shall do without them, give {' '.join(GROUPS)}"
    with pytest.raises(InputError, match=r"compute something else: obj_mlp \(1, as model"):
        bring_in(small, tmp_path, state, *(name for name in GROUPS if name != "obj_mlp"))
    with pytest.raises(
        InputError, match=r"ignore_keys mask_attn: .* holds no such group .*; it holds attn2_mask, norm2_2"
    ):
        bring_in(small, tmp_path, state, "mask_attn")
    assert not (tmp_path / "model").exists()
    flags = ["--stage", "video", "--dtype", "fp32", "--config", str(small / "first.json")]
    assert main(["import", str(tmp_path / "a.ckpt"), *flags, "--out", str(tmp_path / "model")]) == 2
    assert "--ignore-keys: " in capsys.readouterr().err
    accepted = ["--ignore-keys", *GROUPS]
    assert main(["import", str(tmp_path / "a.ckpt"), *flags, *accepted, "--out", str(tmp_path / "model")]) == 0
    assert "left out on request, without a place here: attn2_mask (2), norm2_2 (1)" in capsys.readouterr().out
    report = json.loads((tmp_path / "model" / "import_report.json").read_text())
    assert {name: group["count"] for name, group in report["keys"]["ignored"].items()} == {
        **dict.fromkeys(GROUPS, 1),
        "attn2_mask": 2,
    }
    assert report["keys"]["total"] == len(state)
    assert weight_hashes(tmp_path / "model") == weight_hashes(small / "video")


def _deepspeed(folder: Path, file: str) -> None:
    (folder / "a.ckpt" / "checkpoint").mkdir(parents=True)
    (folder / "a.ckpt" / "checkpoint" / file).touch()


def _adapter_folder(folder: Path) -> None:
    (folder / "a.ckpt").mkdir()
    (folder / "a.ckpt" / "adapter_model.safetensors").touch()


def _saved(content: Any) -> Callable[[Path], None]:
    return lambda folder: torch.save(content, folder / "a.ckpt")


OTHERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "peft": (
        _saved({f"base_model.model.{BLOCK}.attn1.to_q.lora_A.weight": torch.zeros(4, 4)}),
        r"holds adapters \(base_model.*to_q\.lora_A\.weight\), not a network; merge them into the network",
    ),
    "kohya": (
        _saved({"lora_unet_input_blocks_1_1_proj_in.lora_up.weight": torch.zeros(4, 4)}),
        r"holds adapters \(lora_unet_input_blocks_1_1_proj_in\.lora_up\.weight\)",
    ),
    "peft folder": (_adapter_folder, r"holds adapters \(adapter_model\.safetensors\), not a network; merge"),
    "deepspeed folder": (
        lambda folder: _deepspeed(folder, "mp_rank_00_model_states.pt"),
        r"is a DeepSpeed folder \(it holds mp_rank_00_model_states\.pt\); join its parts with the zero_to_fp32\.py",
    ),
    "deepspeed optimiser": (
        _saved({"optimizer_state_dict": {"zero_stage": 2}}),
        r"holds 'optimizer_state_dict', a part of a run; join its parts with the zero_to_fp32\.py",
    ),
    "deepspeed stage 3": (
        _saved({"module": {f"{UNET}out.2.bias": torch.zeros(0)}}),
        r"holds nothing under model\.diffusion_model\.out\.2\.bias: its weights are kept in parts; join its parts",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_files_of_other_kinds_are_told_from_damaged_ones(small: Path, tmp_path: Path, case: str) -> None:
    write, message = OTHERS[case]
    write(tmp_path)
    with pytest.raises(InputError, match=message):
        import_checkpoint(tmp_path / "a.ckpt", tmp_path / "model", ImportSettings("video", config=small / "first.json"))
    assert not (tmp_path / "model").exists()
