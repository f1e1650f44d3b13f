"""Training of the reference decoder: the true frame from the blurred one, the first frame and the masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mask2iv.diffusion.samplers import draw_noise
from mask2iv.filmstrip import filmstrip
from mask2iv.masks import labels_to_tensor, perturb_labels
from mask2iv.media import write_png
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.recipes import ReferenceRecipe
from mask2iv.training.clips import ClipMemory, random_corner
from mask2iv.training.loop import Run, Trainer, Validation
from mask2iv.training.pictures import psnr, to_uint8
from mask2iv.training.samples import Samples
from mask2iv.training.vae import gradient_loss


def train_reference(
    recipe: ReferenceRecipe,
    codec: LatentCodec,
    clips: ClipMemory,
    held_out: ClipMemory,
    run: Run,
) -> tuple[ReferenceDecoder, dict[str, float]]:
    """Train on single frames: latents with noise, masks perturbed as in stage 2. Figures: held-out PSNR in dB."""
    torch.manual_seed(recipe.training.seed)
    decoder = ReferenceDecoder(recipe.width, recipe.depth, recipe.patch).to(clips.device)
    codec.requires_grad_(False)

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        generators = samples.generators()
        frames = [int(torch.randint(0, clips.dataset.num_frames, (1,), generator=g)) for g in generators]
        batch = clips.frames(samples.rows, frames)
        pairs = zip(batch.labels.split(1), generators, strict=True)
        labels = torch.cat([perturb_labels(one, 0.2, generator=generator) for one, generator in pairs])
        video, masks = random_crops(batch.video, labels, recipe.crop, generators)
        first, target = video[:, :, 0], video[:, :, 1]
        with torch.no_grad():
            latents = codec.encode(target)
            level = torch.cat([torch.rand(1, generator=generator) for generator in generators]).to(latents)
            noise = draw_noise(latents.shape, generators, latents.device, latents.dtype)
            decoded = codec.decode(latents + recipe.latent_noise * level.view(-1, 1, 1, 1) * noise)
        output = decoder(decoded, first, masks[:, :, 1], masks[:, :, 0]).float()
        l1, edges = F.l1_loss(output, target), gradient_loss(output, target)
        return {"loss": l1 + 0.5 * edges, "l1": l1, "before": F.l1_loss(decoded, target)}

    def figures(step: int) -> dict[str, float]:
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
        write_png(run.directory / f"held_out_{step:06d}.png", picture)
        return {"psnr_decoded": sum(before) / len(before), "psnr_reference": sum(after) / len(after)}

    validation = Validation(figures, "psnr_reference")
    return decoder, Trainer(decoder, recipe.training, run, loss, clips.clips.ids, validation).run()


def random_crops(
    video: torch.Tensor, labels: torch.Tensor, crop: int, generators: Sequence[torch.Generator]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One window of `crop` pixels from each sample, chosen by its last frame's labels.

    Args:
        video: [B, 3, T, H, W].
        labels: uint8 [B, T, H, W].
        generators: one for each sample.

    Returns:
        The windows of the video and of the labels in label colours, both [B, 3, T, crop, crop].
    """
    pairs = zip(labels[:, -1], generators, strict=True)
    corners = [random_corner(frame, crop, generator) for frame, generator in pairs]
    windows = [(..., slice(y, y + crop), slice(x, x + crop)) for y, x in corners]
    masks = labels_to_tensor(labels)
    return tuple(
        torch.stack([sample[window] for sample, window in zip(tensor, windows, strict=True)])
        for tensor in (video, masks)
    )  # type: ignore[return-value]
