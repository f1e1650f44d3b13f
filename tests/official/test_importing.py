"""Import of original checkpoints into model folders: values, keys, precision, refusals."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mask2iv.errors import InputError
from mask2iv.manifest import weight_hashes
from mask2iv.official.importing import ImportSettings, import_checkpoint
from mask2iv.official.networks import (
    image_model_from_original,
    resampler_from_original,
    text_model_from_original,
    vae_from_original,
)
from mask2iv.pipelines.pipeline import Mask2IVPipeline

pytestmark = pytest.mark.usefixtures("no_open_clip")

FIRST_CONV = "model.diffusion_model.input_blocks.0.0.weight"
State = dict[str, Tensor]
Save = Callable[..., tuple[Path, Path]]
Same = Callable[[State, State], bool]


def test_the_imported_networks_compute_the_original_codes_numbers(
    golden: Any, load_golden: Callable[[str], Any]
) -> None:
    _, _, folder, _ = golden
    pipeline = Mask2IVPipeline.from_pretrained(folder)
    load = load_golden
    unet, encoder = load("unet_tiny_12ch"), pipeline.encoder
    assert pipeline.video_stage is not None
    with torch.no_grad():
        result = pipeline.video_stage.unet(
            unet["b2.x"], unet["b2.timesteps"], unet["b2.context"], unet.tensors["b2.fs"]
        )
        torch.testing.assert_close(result, unet["b2.y"], rtol=0, atol=2e-5)
        resampler = load("resampler_tiny")
        tokens = pipeline.video_stage.resampler(resampler["input.x"])
        torch.testing.assert_close(tokens, resampler["output.y"], rtol=0, atol=2e-5)
        vae = load("vae_tiny")
        moments = encoder.codec.autoencoder.encode(vae["input.image"]).latent_dist.parameters
        torch.testing.assert_close(moments, vae["posterior.moments"], rtol=0, atol=2e-5)
        clip = load("clip_tiny")
        features = encoder.image_features(clip["image.raw_u8"].float() / 127.5 - 1)
        torch.testing.assert_close(features, clip["image.tokens"], rtol=0, atol=2e-5)
        hidden = encoder.text_encoder(input_ids=clip["text.ids"], output_hidden_states=True).hidden_states[-2]
        torch.testing.assert_close(
            encoder.text_encoder.final_layer_norm(hidden), clip["text.penultimate"], rtol=0, atol=2e-5
        )


def test_every_component_equals_the_one_loaded_at_once(golden: Any, same: Same) -> None:
    state, config, folder, _ = golden
    made = Mask2IVPipeline.from_pretrained(folder).components

    def part(prefix: str) -> State:
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

    expected = {
        "video_resampler": resampler_from_original(part("image_proj_model."), config["resampler"]),
        "vae": vae_from_original(part("first_stage_model."), config["autoencoder"]),
        "text_encoder": text_model_from_original(part("cond_stage_model.model."), config["clip"]),
        "image_encoder": image_model_from_original(part("embedder.model."), config["clip"]),
    }
    for name, network in expected.items():
        assert same(made[name].state_dict(), network.state_dict()), name


def test_weights_lie_in_files_of_the_size_asked_for_and_are_all_hashed(golden: Any) -> None:
    _, _, folder, _ = golden
    shards = sorted(path.name for path in (folder / "video_unet").glob("*.safetensors"))
    assert len(shards) > 5
    assert shards[0] == f"diffusion_pytorch_model-00001-of-{len(shards):05d}.safetensors"
    assert max(path.stat().st_size for path in folder.rglob("*.safetensors")) < 9_000_000
    index = json.loads((folder / "video_unet" / "diffusion_pytorch_model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(shards)
    assert set(weight_hashes(folder)) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")}
    index["weight_map"][next(iter(index["weight_map"]))] = "../vae/diffusion_pytorch_model.safetensors"
    outside = folder.parent / "outside"
    shutil.copytree(folder, outside)
    (outside / "video_unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="only files beside it are read"):
        Mask2IVPipeline.from_pretrained(outside)


def test_loaded_networks_can_be_trained_without_changing_the_files(small: Path) -> None:
    """The weights are mapped from the files."""
    before = weight_hashes(small / "video")
    pipeline = Mask2IVPipeline.from_pretrained(small / "video")
    assert pipeline.video_stage is not None
    stage = pipeline.video_stage.train()
    optimizer = torch.optim.SGD(stage.parameters(), lr=0.1)
    context = stage.context(torch.randn(1, 77, 32), torch.randn(1, 5, 32))
    stage.unet(torch.randn(1, 12, 4, 8, 8), torch.tensor([3]), context).square().mean().backward()
    bias = stage.unet.conv_out.bias.detach().clone()
    optimizer.step()
    assert not torch.equal(stage.unet.conv_out.bias, bias)
    assert weight_hashes(small / "video") == before


def test_the_report_accounts_for_every_key(golden: Any) -> None:
    state, _, folder, report = golden
    assert json.loads((folder / "import_report.json").read_text()) == report
    keys = report["keys"]
    assert keys["total"] == len(state)
    assert keys["used"] == len(state) - 1 - 9
    assert keys["ignored"] == {"mask_attention": {"count": 1, "keys": {"model.mask_attention.weight": [3, 3]}}}
    assert keys["absent"] == []
    assert set(keys["carried"]) | set(keys["aliases"]) == {
        *(f"cond_stage_model.model.{name}" for name in ("text_projection", "logit_scale")),
        *(
            f"embedder.model.{name}"
            for name in (
                "visual.proj",
                "text_projection",
                "logit_scale",
                "positional_embedding",
                "token_embedding.weight",
                "ln_final.weight",
                "ln_final.bias",
            )
        ),
    }
    assert report["source"]["file"] == "stage.ckpt"
    assert report["source"]["container"] == "state_dict"


def test_the_learnt_factors_and_old_names_of_256(
    tmp_path: Path, checkpoints: ModuleType, load_golden: Callable[[str], Any], save: Save
) -> None:
    state, config = checkpoints.golden_checkpoint("unet_tiny_8ch_alpha")
    old = {key.replace("fps_embedding", "framestride_embed"): value for key, value in state.items()}
    assert set(old) != set(state)
    # The golden text encoder's vocabulary is smaller than an alphabet, so no tokenizer fits it.
    config["clip"]["text_cfg"]["vocab_size"] = 514 + len(checkpoints.MERGES)
    weight = torch.zeros(config["clip"]["text_cfg"]["vocab_size"], 64)
    for prefix in ("cond_stage_model", "embedder"):
        old[f"{prefix}.model.token_embedding.weight"] = weight.clone()
    path, flags = save(tmp_path, old, config)
    vocabulary = str(checkpoints.write_vocabulary(tmp_path / "bpe.txt.gz"))
    settings = ImportSettings("dynamicrafter", "fp32", vocabulary, config=flags, widen_for="video")
    report = import_checkpoint(path, tmp_path / "model", settings)
    assert len(report["source"]["renamed"]) == 4
    assert report["keys"]["ignored"] == {}
    pipeline = Mask2IVPipeline.from_pretrained(tmp_path / "model")
    golden = load_golden("unet_tiny_8ch_alpha")
    x = golden["shared.x"]
    widened = torch.cat([x, torch.randn_like(x[:, :4])], dim=1)
    assert pipeline.video_stage is not None
    with torch.no_grad():
        result = pipeline.video_stage.unet(widened, golden["shared.timesteps"], golden["shared.context"])
    torch.testing.assert_close(result, golden["shared.y"], rtol=0, atol=2e-5)
    assert pipeline.trajectory_stage is None
    assert pipeline.scheduler.config["prediction_type"] == "epsilon"
    assert pipeline.scheduler.config["base_scale"] is None


@pytest.mark.parametrize("how", ["zero", "copy"])
def test_widening_keeps_the_old_weights_first_in_both_stages(
    tmp_path: Path, how: Any, checkpoints: ModuleType, save: Save
) -> None:
    state, config = checkpoints.small_checkpoint(channels=8)
    path, flags = save(tmp_path, state, config)
    vocabulary = str(checkpoints.write_vocabulary(tmp_path / "bpe.txt.gz"))
    settings = ImportSettings("dynamicrafter", "fp32", vocabulary, config=flags, new_channels=how)
    import_checkpoint(path, tmp_path / "model", settings)
    pipeline = Mask2IVPipeline.from_pretrained(tmp_path / "model")
    old = state[FIRST_CONV]
    assert old.shape[1] == 8
    assert pipeline.trajectory_stage is not None
    assert pipeline.video_stage is not None
    first, second = (stage.unet.conv_in.weight for stage in (pipeline.trajectory_stage, pipeline.video_stage))
    for weight in (first, second):
        assert weight.shape[1] == 12
        assert torch.equal(weight[:, :8], old)
        assert torch.equal(weight[:, 8:], old[:, 4:] if how == "copy" else torch.zeros_like(old[:, 4:]))
    config_found = pipeline.config
    assert (config_found.fps, config_found.guidance_scale, config_found.guidance_rescale) == (24.0, 7.5, 0.7)


def test_official_settings(small: Path) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(small / "joined")
    config, scheduler = pipeline.config, pipeline.scheduler.config
    assert (config.fps, config.guidance_scale, config.guidance_rescale, config.eta) == (15.0, 1.0, 0.7, 1.0)
    assert pipeline.fitting() == ("centre", 1.0)
    assert (config.num_inference_steps, config.video_num_inference_steps) == (50, 50)
    assert (config.mask_layout, config.latent_patch, config.text_skip_last) == ("text", 1, 1)
    assert config.drop_image_in_guidance
    assert (scheduler["prediction_type"], scheduler["rescale_betas_zero_snr"]) == ("v_prediction", True)
    assert (scheduler["base_scale"], scheduler["timestep_spacing"], scheduler["eta"]) == (0.7, "trailing", 1.0)


def _deepspeed(state: State, path: Path) -> None:
    torch.save({"module": {f"_forward_module.{key}": value for key, value in state.items()}, "dp": 1}, path)


WRITERS: dict[str, Callable[[State, Path], None]] = {
    "module": _deepspeed,
    "bare": lambda state, path: torch.save(state, path),
    "safetensors": lambda state, path: save_file({k: v.clone() for k, v in state.items()}, path),
}


@pytest.mark.parametrize("container", WRITERS)
def test_every_container_gives_the_same_folder(small: Path, tmp_path: Path, container: str) -> None:
    state = torch.load(small / "second.ckpt", weights_only=True)["state_dict"]
    path = tmp_path / f"stage.{'safetensors' if container == 'safetensors' else 'pt'}"
    WRITERS[container](state, path)
    report = import_checkpoint(path, tmp_path / "model", ImportSettings("video", "fp32", config=small / "first.json"))
    assert report["source"]["container"] == container
    assert weight_hashes(tmp_path / "model") == weight_hashes(small / "video")


@pytest.mark.parametrize(("dtype", "expected"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_precision(small: Path, tmp_path: Path, dtype: str, expected: torch.dtype) -> None:
    import_checkpoint(
        small / "second.ckpt", tmp_path / "model", ImportSettings("video", dtype, config=small / "first.json")
    )
    stored = [value.dtype for path in tmp_path.rglob("*.safetensors") for value in load_file(path).values()]
    assert set(stored) == {expected}
    pipeline = Mask2IVPipeline.from_pretrained(tmp_path / "model")
    state = torch.load(small / "second.ckpt", weights_only=True)["state_dict"]
    assert pipeline.video_stage is not None
    assert torch.equal(pipeline.video_stage.unet.conv_in.weight, state[FIRST_CONV].to(expected).float())


class _Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def _pickle_that_runs(state: State, path: Path) -> None:
    torch.save({"state_dict": state, "hooks": _Runs(path.with_name("marker"))}, path)


def _truncated(state: State, path: Path) -> None:
    torch.save({"state_dict": state}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _truncated_safetensors(state: State, path: Path) -> None:
    WRITERS["safetensors"](state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _without(key: str) -> Callable[[State, Path], None]:
    return lambda state, path: torch.save({name: value for name, value in state.items() if name != key}, path)


def _with(key: str, value: Any) -> Callable[[State, Path], None]:
    return lambda state, path: torch.save({"state_dict": {**state, key: value}}, path)


REFUSED: dict[str, tuple[str, Callable[[State, Path], object], str]] = {
    "runs": ("a.ckpt", _pickle_that_runs, r"is not opened: it holds (pathlib\.|getattr)"),
    "plain pickle": ("a.ckpt", lambda state, path: path.write_bytes(pickle.dumps({"a": 1})), "not a zip file"),
    "legacy": (
        "a.ckpt",
        lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
        "damaged or of the old format: not a zip file",
    ),
    "truncated": ("a.ckpt", _truncated, "damaged or not a checkpoint"),
    "truncated safetensors": ("a.safetensors", _truncated_safetensors, "cannot be read"),
    "empty": ("a.ckpt", lambda state, path: path.touch(), "is an empty file"),
    "missing": ("a.ckpt", lambda state, path: None, "does not exist"),
    "folder": ("a.ckpt", lambda state, path: path.mkdir(), "is not a file"),
    "list": ("a.ckpt", lambda state, path: torch.save([1, 2], path), r"must hold 'state_dict', .* found list"),
    "other": ("a.ckpt", lambda state, path: torch.save({"epoch": 1}, path), r"must hold 'state_dict', .* found epoch"),
    "no tensor": ("a.ckpt", _with("step", 3), "must hold a dense tensor under 'step', found int"),
    "missing key": ("a.ckpt", _without("image_proj_model.latents"), "misses the key image_proj_model.latents"),
    "misshapen": ("a.ckpt", _with("scale_arr", torch.zeros(3)), r"scale_arr has shape \[3\], expected \[1400\]"),
    "other schedule": (
        "a.ckpt",
        _with("scale_arr", torch.full((1400,), 0.3)),
        "scale_arr belongs to another noise schedule",
    ),
    "8 channels": (
        "a.ckpt",
        _with(FIRST_CONV, torch.zeros(32, 8, 3, 3)),
        "must take 12 channels .* found 8; .* plain DynamiCrafter: choose the stage dynami",
    ),
    "not finite": (
        "a.ckpt",
        _with("first_stage_model.quant_conv.bias", torch.full((8,), float("nan"))),
        "first_stage_model.quant_conv.bias holds values that are not finite",
    ),
    "too large": (
        "a.ckpt",
        _with("first_stage_model.quant_conv.bias", torch.full((8,), 1e5)),
        r"^dtype: first_stage_model.quant_conv.bias holds 1e\+05",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_fault_and_leave_nothing(small: Path, tmp_path: Path, case: str) -> None:
    name, write, message = REFUSED[case]
    write(torch.load(small / "second.ckpt", weights_only=True)["state_dict"], tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    settings = ImportSettings("video", "fp16", config=small / "first.json")
    with pytest.raises(InputError, match=message) as refused:
        import_checkpoint(tmp_path / name, tmp_path / "model", settings)
    assert "\n" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before, "no folder, and nothing ran"


def test_a_stage_that_takes_prompts_needs_the_vocabulary(small: Path, tmp_path: Path) -> None:
    settings = ImportSettings("trajectory-text", config=small / "first.json")
    with pytest.raises(
        InputError,
        match=r"^tokenizer: the stage trajectory-text takes prompts .*; get the CLIP vocabulary with `pip dow",
    ):
        import_checkpoint(small / "first.ckpt", tmp_path / "model", settings)
    assert not (tmp_path / "model").exists()


def test_a_stage_without_the_vocabulary_refuses_prompts(small: Path) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(small / "video")
    assert pipeline.encoder.text([""]).shape == (1, 77, 32)
    with pytest.raises(InputError, match="knows the empty prompt only"):
        pipeline.encoder.text(["a box"])
