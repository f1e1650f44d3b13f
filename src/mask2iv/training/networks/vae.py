"""Training of the autoencoder: crops of frames and of mask images, reconstruction loss, scaling factor at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from mask2iv.contract import Label
from mask2iv.diffusion.samplers import draw_noise
from mask2iv.media.filmstrip import filmstrip
from mask2iv.media.images import write_png
from mask2iv.models.autoencoder import Autoencoder, LatentCodec, embedded_autoencoder
from mask2iv.recipes import AutoencoderRecipe
from mask2iv.training.engine.loop import Trainer, Validation
from mask2iv.training.engine.run import Run
from mask2iv.training.engine.samples import Samples
from mask2iv.training.inputs.clips import ClipMemory, random_corner
from mask2iv.training.networks.pictures import psnr, to_uint8
from mask2iv.trajectories.labels import labels_to_tensor, only_object, tensor_to_labels


def gradient_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 distance between the horizontal and vertical differences of images [N, 3, H, W]."""
    horizontal = prediction.diff(dim=-1) - target.diff(dim=-1)
    vertical = prediction.diff(dim=-2) - target.diff(dim=-2)
    return horizontal.abs().mean() + vertical.abs().mean()


def sample_crops(
    clips: ClipMemory, recipe: AutoencoderRecipe, rows: Sequence[int], generators: Sequence[torch.Generator]
) -> torch.Tensor:
    """Training images, float [N, 3, crop, crop] in [-1, 1]: frames, and mask images for `mask_share` of them.

    One third of the mask images show only the object, as target-position masks do.
    """
    crop, crops = recipe.crop, []
    for row, generator in zip(rows, generators, strict=True):
        item = clips.item(row)
        kind = float(torch.rand(1, generator=generator))
        frame = int(torch.randint(0, len(item["labels"]), (1,), generator=generator))
        labels = item["labels"][frame]
        y, x = random_corner(labels, (crop, crop), generator)
        part = labels[y : y + crop, x : x + crop]
        if kind < recipe.mask_share:
            if kind < recipe.mask_share / 3:
                part = only_object(part)
            crops.append(labels_to_tensor(part[None, None])[0, :, 0])
        else:
            crops.append(item["video"][frame, y : y + crop, x : x + crop].permute(2, 0, 1) / 127.5 - 1.0)
    return torch.stack(crops).to(clips.device)


def validate_vae(codec: LatentCodec, clips: ClipMemory, count: int, picture: Path | None = None) -> dict[str, float]:
    """PSNR in dB of frames and IoU of snapped mask images, over frames spread over `count` held-out clips."""
    ratios, ious, shown = [], {Label.ACTOR: [0, 0], Label.OBJECT: [0, 0]}, []
    for index in range(min(count, len(clips))):
        batch = clips.batch([index])
        frame = index % batch.labels.shape[1]
        image, labels = batch.video[:, :, frame], batch.labels[:, frame : frame + 1]
        decoded = codec.decode(codec.encode(image))
        ratios.append(psnr(decoded, image))
        mask = labels_to_tensor(labels)
        decoded_mask = codec.decode(codec.encode(mask))
        snapped = tensor_to_labels(decoded_mask)
        for label, totals in ious.items():
            totals[0] += int(((snapped == label) & (labels == label)).sum())
            totals[1] += int(((snapped == label) | (labels == label)).sum())
        if index < 6:
            shown.append(torch.cat([image, decoded, mask[:, :, 0], decoded_mask[:, :, 0]], dim=-2))
    if picture is not None:
        write_png(picture, filmstrip([("input, decoded, mask, decoded", to_uint8(torch.cat(shown)))]))
    actor_iou, object_iou = (ious[label][0] / max(ious[label][1], 1) for label in (Label.ACTOR, Label.OBJECT))
    return {"psnr": sum(ratios) / len(ratios), "actor_iou": actor_iou, "object_iou": object_iou}


def train_vae(
    recipe: AutoencoderRecipe, clips: ClipMemory, held_out: ClipMemory, run: Run
) -> tuple[Autoencoder, dict[str, float]]:
    """Train the autoencoder and set its scaling factor to 1 / std of the latents; returns it with held-out figures."""
    torch.manual_seed(recipe.training.seed)
    autoencoder = embedded_autoencoder(
        recipe.latent_channels,
        recipe.encoder_widths,
        recipe.encoder_layers,
        recipe.decoder_widths,
        recipe.decoder_layers,
    )
    codec = LatentCodec(autoencoder).to(clips.device)

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        generators = samples.generators()
        images = sample_crops(clips, recipe, samples.rows, generators)
        latents = autoencoder.encode(images, return_dict=False)[0]
        # Moments of the whole batch, over all processes: the noise is relative to the latents' spread.
        energy = latents.float().square().mean()
        moments = samples.average(torch.stack([energy.detach(), latents.detach().float().mean()]))
        spread = (moments[0] - moments[1].square()).clamp(min=0).sqrt()
        noise = draw_noise(latents.shape, generators, latents.device, latents.dtype)
        decoded = codec.decode_raw(latents + recipe.latent_noise * spread * noise).float()
        l1 = F.l1_loss(decoded, images)
        edges = gradient_loss(decoded, images)
        # Keeps the latents from drifting to a scale at which bfloat16 or the optimiser would suffer: the value of
        # (energy of the whole batch - 1)^2, and this process's part of its gradient.
        scale = (moments[0] - 1).square() + 2 * (moments[0] - 1) * (energy - energy.detach())
        return {"loss": l1 + recipe.gradient_weight * edges + 0.01 * scale, "l1": l1, "edges": edges}

    def figures(step: int) -> dict[str, float]:
        return validate_vae(codec, held_out, 32, run.directory / f"held_out_{step:06d}.png")

    names = clips.clips.ids
    # Four frames are taken from each clip, so that few clips need decoding.
    share = min(4, recipe.training.batch_size)
    trainer = Trainer(autoencoder, recipe.training, run, loss, names, Validation(figures, "psnr"), share=share)
    result = trainer.run()
    autoencoder.register_to_config(scaling_factor=1.0 / latent_std(codec, held_out))
    return autoencoder, result


@torch.no_grad()
def latent_std(codec: LatentCodec, clips: ClipMemory) -> float:
    """Standard deviation of unscaled latents over frames and mask images."""
    values = []
    for index in range(min(32, len(clips))):
        batch = clips.batch([index])
        frames = torch.cat([batch.video[:, :, -1], labels_to_tensor(batch.labels[:, -1:])[:, :, 0]])
        values.append(codec.encode(frames) / codec.scaling_factor)
    return float(torch.cat(values).std())
