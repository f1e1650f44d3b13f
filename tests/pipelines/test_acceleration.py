"""Speed and memory options leave results as they are, or near."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from mask2iv.contract import Label, Trajectory, UInt8Array
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.metrics import psnr
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.models.graphs import StepGraphs
from mask2iv.pipelines.pipeline import Mask2IVOutput, Mask2IVPipeline


@pytest.fixture
def pipe(tiny_model: Path) -> Mask2IVPipeline:
    return Mask2IVPipeline.from_pretrained(tiny_model).requires_grad_(False)


@pytest.fixture(scope="module")
def clips(tiny_clips: Path) -> ClipSet:
    return ClipSet(tiny_clips)


def generate(pipe: Mask2IVPipeline, clips: ClipSet, steps: int = 2) -> Mask2IVOutput:
    clip = clips[0]
    output = pipe(
        clip.image, clip.object_mask, "a hand pushing a box to the right", clip.target_mask, guidance_scale=2.0,
        generator=[7], num_inference_steps=steps, video_num_inference_steps=steps, progress=False,
    )  # fmt: skip
    assert isinstance(output, Mask2IVOutput)
    return output


def assert_same(one: Mask2IVOutput, other: Mask2IVOutput) -> None:
    assert np.array_equal(one.trajectory[0].labels, other.trajectory[0].labels)
    assert np.abs(one.frames[0].astype(int) - other.frames[0].astype(int)).max() <= 1


OFFLOADS: dict[str, Callable[[Mask2IVPipeline], None]] = {
    "model": lambda pipe: pipe.enable_model_cpu_offload("cpu"),
    "blocks": lambda pipe: pipe.enable_group_offload("cpu"),
    "pairs of blocks": lambda pipe: pipe.enable_group_offload("cpu", num_blocks_per_group=2),
    "leaves": lambda pipe: pipe.enable_group_offload("cpu", offload_type="leaf_level"),
}


@pytest.mark.parametrize("kind", OFFLOADS)
def test_offloaded_networks_compute_the_same(pipe: Mask2IVPipeline, clips: ClipSet, kind: str) -> None:
    plain = generate(pipe, clips)
    OFFLOADS[kind](pipe)
    assert_same(generate(pipe, clips), plain)


def test_one_network_at_a_time_is_on_the_device(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    """On a CPU nothing moves; who has the turn can be seen all the same."""
    offload = pytest.importorskip(
        "mask2iv.pipelines.offload", reason="accelerate is not installed", exc_type=ImportError
    )
    assert pipe.trajectory_stage is not None
    turns = offload.one_at_a_time(pipe._parts(), torch.device("cpu"))
    assert all(part._hf_hook.turns is turns for part in pipe._parts()), "every network that is called takes turns"
    order: list[torch.nn.Module] = []
    take = turns.take
    turns.take = lambda module: (take(module), order.append(module))  # type: ignore[func-returns-value]
    generate(pipe, clips, steps=1)
    assert set(order) == set(pipe._parts())
    after = order[order.index(pipe.trajectory_stage.unet) :]
    assert pipe.encoder.codec.autoencoder in after, "the autoencoder decodes once the U-Net has made room"


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["model", "group"])
def test_offloading_needs_less_of_the_gpu(pipe: Mask2IVPipeline, clips: ClipSet, kind: str) -> None:
    plain = generate(pipe, clips)
    if kind == "model":
        pipe.enable_model_cpu_offload()
    else:
        pipe.enable_group_offload(use_stream=True)
    weights = sum(part.numel() * part.element_size() for module in pipe._parts() for part in module.parameters())
    assert torch.cuda.memory_allocated() < weights / 2
    found = generate(pipe, clips)
    assert np.mean(found.trajectory[0].labels == plain.trajectory[0].labels) > 0.99
    assert torch.cuda.memory_allocated() < weights / 2 + 2**24


@pytest.mark.gpu
def test_cuda_graphs_and_compilation_keep_the_results(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    plain = generate(pipe.to("cuda"), clips)
    pipe.enable_cuda_graphs()
    for compiled in (False, True):
        if compiled:
            pipe.compile()
        found = generate(pipe, clips)
        assert np.mean(found.trajectory[0].labels == plain.trajectory[0].labels) > 0.99
        ratio = psnr(found.frames[0], plain.frames[0])
        assert ratio is None or ratio > 40
    assert pipe.compile_failure is None


def test_recorded_steps_give_the_same_video(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    plain = generate(pipe, clips)
    for unet in pipe._unets():
        unet.graphs = StepGraphs(lambda call: call)
    assert_same(generate(pipe, clips), plain)
    assert {len(unet.graphs) for unet in pipe._unets() if unet.graphs is not None} == {1}, "one size, all steps"
    with pipe.uncompiled():
        assert all(unet.graphs is None for unet in pipe._unets())
    assert all(unet.graphs is not None for unet in pipe._unets())


@pytest.mark.parametrize("channels_last", [True, False])
def test_either_memory_format_gives_the_same_video(pipe: Mask2IVPipeline, clips: ClipSet, channels_last: bool) -> None:
    plain = generate(pipe, clips)
    pipe.set_channels_last(channels_last)
    assert_same(generate(pipe, clips), plain)


def render_embedded(pipe: Mask2IVPipeline) -> UInt8Array:
    """A small video of the embedded model: a square that moves over a gradient."""
    height, width = 64, 128
    labels = np.zeros((pipe.config.num_frames, height, width), dtype=np.uint8)
    for t, frame in enumerate(labels):
        frame[20:44, 10 + 4 * t : 34 + 4 * t] = Label.OBJECT
    image = np.repeat(np.linspace(60, 200, width).astype(np.uint8)[None, :, None], height, axis=0).repeat(3, axis=2)
    image[20:44, 10:34] = (200, 60, 40)
    return pipe.render(image, Trajectory(labels, pipe.config.fps), generator=[0], progress=False)[0]


@pytest.fixture(scope="module")
def embedded_video() -> UInt8Array:
    return render_embedded(Mask2IVPipeline.from_pretrained("embedded"))


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantised_weights_are_smaller_and_change_little(embedded_video: UInt8Array, kind: str) -> None:
    pipe = Mask2IVPipeline.from_pretrained("embedded")
    before = stored_bytes(pipe)
    pipe.quantize(kind)  # type: ignore[arg-type]
    assert stored_bytes(pipe) < 0.75 * before
    ratio = psnr(render_embedded(pipe), embedded_video)
    assert ratio is not None, "something is quantised"
    assert ratio > 40


def stored_bytes(pipe: Mask2IVPipeline) -> int:
    """Of the networks that are quantised."""
    networks = (*pipe._unets(), pipe.encoder.text_encoder, pipe.encoder.image_encoder)
    total = 0
    for parameter in (parameter for network in networks for parameter in network.parameters()):
        inner = [getattr(parameter, name) for name in getattr(type(parameter), "tensor_data_names", ())]
        total += sum(part.numel() * part.element_size() for part in inner or [parameter])
    return total


def refuse(pipe: Mask2IVPipeline, folder: Path, what: str) -> None:
    if what == "offload twice":
        pipe.enable_model_cpu_offload("cpu")
        pipe.enable_group_offload("cpu")
    elif what == "move":
        pipe.enable_model_cpu_offload("cpu")
        pipe.to("cpu")
    elif what == "stream":
        pipe.enable_group_offload("cpu", use_stream=True)
    elif what == "graphs":
        pipe.enable_cuda_graphs()
    elif what == "kind":
        pipe.quantize("int3")  # type: ignore[arg-type]
    else:
        pipe.quantization = "int8"
        if what == "save":
            pipe.save_pretrained(folder / "saved")
        elif what == "again":
            pipe.quantize("int8")
        else:
            pipe.to(torch.float16)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("offload twice", r"offload: this pipeline is offloaded already \(model\)"),
        ("move", "to: this pipeline's networks are moved by model offloading"),
        ("stream", "enable_group_offload: Using streams"),
        ("graphs", "cuda_graphs: needs a CUDA device, this pipeline is on cpu"),
        ("kind", "quantize: must be one of int8, fp8, found 'int3'"),
        ("save", "save_pretrained: .* are quantised"),
        ("again", "quantize: .* are quantised"),
        ("cast", "to: .* are quantised"),
    ],
)
def test_what_does_not_go_together_is_refused(pipe: Mask2IVPipeline, tmp_path: Path, what: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        refuse(pipe, tmp_path, what)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_names_its_extra(pipe: Mask2IVPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(InputError, match=r'quantize: needs torchao; pip install "\.\[quant\]"'):
        pipe.quantize("int8")
    assert pipe.quantization is None


def autoencoders() -> dict[str, LatentCodec]:
    torch.manual_seed(0)
    kl = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32,) * 4, latent_channels=4,
    )  # fmt: skip
    return {"dc": Mask2IVPipeline.from_pretrained("embedded").encoder.codec, "kl": LatentCodec(kl.eval())}


@pytest.mark.parametrize(("kind", "least"), [("dc", 0.99), ("kl", 0.8)])
@torch.no_grad()
def test_tiles_are_near_the_whole(clips: ClipSet, kind: str, least: float) -> None:
    codec = autoencoders()[kind]
    picture = torch.from_numpy(np.ascontiguousarray(clips[0].image)).permute(2, 0, 1)[None] / 127.5 - 1
    picture = torch.nn.functional.interpolate(picture, size=(128, 192), mode="bilinear")
    seeds = [torch.Generator().manual_seed(0)]
    latents = codec.encode(picture, seeds)
    whole = codec.decode(latents)
    codec.set_tiling(96)
    tiled = codec.decode(latents)
    assert tiled.shape == whole.shape
    assert not torch.equal(tiled, whole)
    # Random weights look far; tiles in a wrong order would not agree at all.
    assert torch.corrcoef(torch.stack([tiled.flatten(), whole.flatten()]))[0, 1] > least
    assert codec.encode(picture, [torch.Generator().manual_seed(0)]).shape == latents.shape
    codec.set_tiling(192)
    assert torch.equal(codec.decode(latents), whole), "not larger than a tile"
    codec.set_tiling(None)
    assert torch.equal(codec.decode(latents), whole)
    with pytest.raises(InputError, match="tile_size: must be a multiple of 32"):
        codec.set_tiling(100)


@torch.no_grad()
def test_frames_in_one_call_are_those_of_slices(pipe: Mask2IVPipeline) -> None:
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(1, pipe.encoder.codec.latent_channels, 4, 2, 4, generator=random)
    sizes: list[int] = []
    hook = pipe.encoder.codec.autoencoder.decoder.register_forward_pre_hook(
        lambda _, given: sizes.append(len(given[0]))
    )
    sliced = pipe.encoder.codec.decode(latents)
    pipe.disable_vae_slicing()
    torch.testing.assert_close(pipe.encoder.codec.decode(latents), sliced, rtol=1e-4, atol=1e-5)
    pipe.enable_vae_slicing()
    pipe.encoder.codec.decode(latents)
    hook.remove()
    assert sizes == [1] * 4 + [4] + [1] * 4
