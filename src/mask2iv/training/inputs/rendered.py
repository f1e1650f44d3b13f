"""The reference decoder's inputs as they are in generation, made once per training clip: stage 2's own frames and what
accompanies them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.diffusion.samplers import draw_noise
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.models.palette import PARTS, actor_palette
from mask2iv.models.reference import first_plate, motions_to_first
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.seeds import generator_of
from mask2iv.stages.conditioning import VideoConditioning
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.inputs.shards import Shards, build_shards
from mask2iv.training.networks.pictures import to_float
from mask2iv.trajectories.morphology import perturb_labels

_PALETTE_STRIDE = 3
"""Distance between the frames from which an actor's colours are taken."""
Renderer = Callable[[UInt8Array, Trajectory, str, str], torch.Tensor]
"""Makes a video as it is before the reference decoder, uint8 [T, 3, H, W], from a clip's true video, uint8
[T, H, W, 3], the trajectory to follow, the caption, and the clip's id, which seeds the noise."""


def stage_two(pipeline: Mask2IVPipeline) -> Renderer:
    """Stage 2's videos from the first frame, without the reference decoder."""
    pipeline.reference_decoder = None

    def render(video: UInt8Array, trajectory: Trajectory, caption: str, clip_id: str) -> torch.Tensor:
        inputs = pipeline.render_inputs(trajectory, caption)
        frames = pipeline.render(video[0], **inputs, generator=generator_of(clip_id), progress=False)[0]
        return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()

    return render


def reconstruction(codec: LatentCodec, noise: float) -> Renderer:
    """The autoencoder's reconstructions of the true frames from noisy latents, for use without a stage 2.

    Args:
        codec: the autoencoder.
        noise: largest standard deviation of the noise; each clip draws its own, up to this.
    """

    @torch.no_grad()
    def render(video: UInt8Array, trajectory: Trajectory, caption: str, clip_id: str) -> torch.Tensor:
        generator = generator_of(clip_id)
        device = next(codec.parameters()).device
        frames = to_float(torch.from_numpy(video).permute(0, 3, 1, 2)).to(device)
        latents = codec.encode(frames)
        level = noise * float(torch.rand(1, generator=generator))
        drawn = draw_noise(latents.shape, generator, latents.device, latents.dtype)
        decoded = codec.decode(latents + level * drawn)
        return ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().cpu()

    return render


def build_rendered(
    render: Renderer, conditioning: VideoConditioning, clips: ClipMemory, key: str, root: Path
) -> Shards:
    """Of each clip: ``decoded`` uint8 [1, T, 3, H, W], ``plate`` uint8 [1, 3, H, W], ``motions`` float [1, T, 3, 2, 3],
    ``palette`` float [1, 2, 3].

    See :class:`mask2iv.models.reference.FirstFrame` for the last three, which are those of the true clip; the palette
    is zero where no actor is shown. Every other clip is rendered along perturbed masks (paper, section 3.4), since
    predicted ones are not exact.

    Args:
        render: renders the videos.
        conditioning: which masks the decoder may see.
        clips: the training clips.
        key: hash of everything that the numbers depend on.
        root: folder of caches.

    Raises:
        InputError: a clip cannot be read.
    """

    def prepare(index: int) -> dict[str, Any]:
        item = clips.item(index)
        clip_id, labels, video = item["clip_id"], item["labels"], item["video"].numpy()
        shown = conditioning.shown(labels).numpy()
        chance = float(index % 2)
        perturbed = perturb_labels(labels[None], chance, generator=generator_of(f"{clip_id} masks"))[0]
        plate = torch.from_numpy(np.array(first_plate(video[0], shown)))
        palette = actor_palette(video[::_PALETTE_STRIDE], shown[::_PALETTE_STRIDE])
        return {
            "caption": clips.captions[index],
            "clip_id": clip_id,
            "video": item["video"],
            "followed": perturbed,
            "plate": plate.permute(2, 0, 1)[None].contiguous(),
            "motions": motions_to_first(shown)[None],
            "palette": torch.zeros(1, PARTS, 3) if palette is None else torch.from_numpy(palette)[None],
        }

    def compute(row: dict[str, Any]) -> dict[str, torch.Tensor]:
        followed = Trajectory(np.ascontiguousarray(row["followed"].numpy()))
        decoded = render(row["video"].numpy(), followed, row["caption"], row["clip_id"])[None]
        return {"decoded": decoded, **{name: row[name] for name in ("plate", "motions", "palette")}}

    return build_shards(len(clips), compute, key, root, {"size": list(clips.dataset.size)}, "render", prepare)
