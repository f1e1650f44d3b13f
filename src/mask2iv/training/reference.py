"""Training of the reference decoder: the true frame from the blurred one, the first frame and the masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from mask2iv.filmstrip import filmstrip
from mask2iv.masks import labels_to_tensor, perturb_labels
from mask2iv.media import write_png
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.recipes import ReferenceRecipe
from mask2iv.training.clips import ClipMemory, random_corner
from mask2iv.training.loop import Trainer, batch_indices
from mask2iv.training.pictures import psnr, to_uint8
from mask2iv.training.vae import gradient_loss


def train_reference(
    recipe: ReferenceRecipe,
    codec: LatentCodec,
    clips: ClipMemory,
    held_out: ClipMemory,
    run_dir: Path,
    resume: str | None,
    identity: dict[str, Any],
) -> tuple[ReferenceDecoder, dict[str, float]]:
    """Train on single frames: latents with noise, masks perturbed as in stage 2. Figures: held-out PSNR in dB."""
    torch.manual_seed(recipe.training.seed)
    decoder = ReferenceDecoder(recipe.width, recipe.depth, recipe.patch).to(clips.device)
    codec.requires_grad_(False)

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        training = recipe.training
        indices = batch_indices(len(clips), training.batch_size, training.seed, step)
        frames = torch.randint(0, clips.dataset.num_frames, (len(indices),), generator=generator).tolist()
        batch = clips.frames(indices, frames)
        labels = perturb_labels(batch.labels, 0.2, generator=generator)
        video, masks = random_crops(batch.video, labels, recipe.crop, generator)
        first, target = video[:, :, 0], video[:, :, 1]
        with torch.no_grad():
            latents = codec.encode(target)
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            level = recipe.latent_noise * torch.rand((len(indices), 1, 1, 1), generator=generator).to(latents)
            decoded = codec.decode(latents + level * noise)
        output = decoder(decoded, first, masks[:, :, 1], masks[:, :, 0]).float()
        l1, edges = F.l1_loss(output, target), gradient_loss(output, target)
        return {"loss": l1 + 0.5 * edges, "l1": l1, "before": F.l1_loss(decoded, target)}

    def validate(step: int) -> dict[str, float]:
        before, after, shown = [], [], []
        for index in range(min(32, len(held_out))):
            batch = held_out.batch([index])
            target, masks = batch.video[:, :, -1], labels_to_tensor(batch.labels)
            decoded = codec.decode(codec.encode(target))
            output = decoder(decoded, batch.first_frame, masks[:, :, -1], masks[:, :, 0]).clamp(-1, 1)
            before.append(psnr(decoded, target))
            after.append(psnr(output, target))
            if index < 6:
                shown.append(torch.cat([batch.first_frame, decoded, output, target], dim=-2))
        picture = filmstrip([("first frame, decoded, with reference, true", to_uint8(torch.cat(shown)))])
        write_png(run_dir / f"held_out_{step:06d}.png", picture)
        return {"psnr_decoded": sum(before) / len(before), "psnr_reference": sum(after) / len(after)}

    return decoder, Trainer(decoder, recipe.training, run_dir, loss, validate, identity).run(resume)


def random_crops(
    video: torch.Tensor, labels: torch.Tensor, crop: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One window of `crop` pixels from each sample, chosen by its last frame's labels.

    Args:
        video: [B, 3, T, H, W].
        labels: uint8 [B, T, H, W].

    Returns:
        The windows of the video and of the labels in label colours, both [B, 3, T, crop, crop].
    """
    corners = [random_corner(frame, crop, generator) for frame in labels[:, -1]]
    windows = [(..., slice(y, y + crop), slice(x, x + crop)) for y, x in corners]
    masks = labels_to_tensor(labels)
    return tuple(
        torch.stack([sample[window] for sample, window in zip(tensor, windows, strict=True)])
        for tensor in (video, masks)
    )  # type: ignore[return-value]
