"""Training of the reference decoder: true frames from stage 2's frames, the first frame and the masks."""

from __future__ import annotations

import torch
from torch import nn

from mask2iv.contract import Label, is_actor
from mask2iv.errors import InputError
from mask2iv.media.filmstrip import filmstrip
from mask2iv.media.images import write_png
from mask2iv.models.discriminator import PAIR_CHANNELS, PatchDiscriminator, contest, join_pairs
from mask2iv.models.lpips import load_lpips
from mask2iv.models.palette import chosen_palette
from mask2iv.models.reference import BANK, FirstFrame, ReferenceDecoder, label_planes
from mask2iv.recipes import ReferenceRecipe
from mask2iv.training.engine.loop import Trainer, Validation
from mask2iv.training.engine.run import Run
from mask2iv.training.engine.samples import Samples
from mask2iv.training.inputs.windows import FRAMES_PER_CLIP, RenderedClips, Windows, WindowSource
from mask2iv.training.networks.pictures import psnr, to_float, to_uint8
from mask2iv.trajectories.morphology import dilate

_CHANGE = 0.15
"""Difference from the first frame's pixel, in a range of 2, that counts as a change, such as a moving shadow's."""
_VALIDATION_CLIPS = 24


class ReferencePair(nn.Module):
    """The decoder and its adversary, one module for the engine: each loss reaches the weights of one of them."""

    def __init__(self, recipe: ReferenceRecipe) -> None:
        super().__init__()
        self.decoder = ReferenceDecoder(recipe.widths, recipe.depth, recipe.patch)
        self.adversary = PatchDiscriminator(PAIR_CHANNELS)


def train_reference(
    recipe: ReferenceRecipe,
    data: RenderedClips,
    held_out: RenderedClips,
    run: Run,
    start: ReferenceDecoder | None = None,
) -> tuple[ReferenceDecoder, dict[str, float]]:
    """Train the decoder on windows around what moves. The figures are of whole frames of held-out clips.

    The loss: L1 and image gradients, weighted up where something is or was; the change from frame to frame; LPIPS; and,
    from step ``adversarial_from`` on, a conditional PatchGAN with feature matching (Isola et al. 2017, Wang et al.
    2018).

    Raises:
        InputError: a batch that :data:`FRAMES_PER_CLIP` does not divide, windows of a size that the decoder or the
            clips do not allow, or clips of fewer than 3 frames.
    """
    config = recipe.training
    clips = data.clips.dataset
    check_reference(recipe, clips.size, clips.num_frames, run.accelerator.num_processes)
    torch.manual_seed(config.seed)
    pair = ReferencePair(recipe)
    if start is not None:
        pair.decoder = start
    pair.to(data.clips.device)

    source = WindowSource(data, recipe)
    pair.decoder.bank.copy_(_palettes(data, BANK))
    lpips = load_lpips().to(data.clips.device) if recipe.perceptual_weight else None

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        windows = source.draw(samples)
        output = pair.decoder(windows.decoded, windows.labels, windows.first, windows.corners).float()
        found = _distances(output, windows, recipe)
        if lpips is not None:
            # LPIPS compares patches, so it penalises the blurred mean of many appearances.
            with torch.autocast(output.device.type, enabled=False):
                found["lpips"] = lpips(output.flatten(0, 1), windows.target.flatten(0, 1)).mean()
            found["loss"] = found["loss"] + recipe.perceptual_weight * found["lpips"]
        strength = min(1.0, (samples.place - recipe.adversarial_from) / 300)
        if strength >= 0 and recipe.adversarial_weight:
            game = _contest(pair.adversary, output, windows)
            wanted = recipe.adversarial_weight * game["fooled"] + recipe.feature_weight * game["features"]
            found["loss"] = found["loss"] + strength * wanted + game["adversary"]
            found |= game
        return found

    def figures(step: int) -> dict[str, float]:
        return _validate(pair.decoder, held_out, run, step)

    validation = Validation(figures, "psnr")
    trainer = Trainer(pair, config, run, loss, data.clips.clips.ids, validation, share=FRAMES_PER_CLIP, resting=True)
    result = trainer.run()
    return pair.decoder, result


def check_reference(recipe: ReferenceRecipe, size: tuple[int, int], num_frames: int, processes: int) -> None:
    """Whether a recipe's windows fit clips of a size (H, W) and length, and its batch the processes.

    Raises:
        InputError: see :func:`train_reference`.
    """
    multiple = 4 * recipe.patch
    if any(side % multiple or side > whole for side, whole in zip(recipe.crop, size, strict=True)):
        raise InputError(
            "reference.crop", f"height and width must be multiples of {multiple}, at most {size}, found {recipe.crop}"
        )
    if num_frames < 3:
        raise InputError(
            "data",
            "the reference decoder learns from pairs of frames after the first, so it needs clips of 3 frames or more, "
            f"found {num_frames}",
        )
    parts = processes * recipe.training.gradient_accumulation_steps
    if recipe.training.batch_size % (FRAMES_PER_CLIP * parts):
        raise InputError(
            "reference.training.batch_size",
            f"each of {parts} parts needs a multiple of {FRAMES_PER_CLIP} windows, as many as come from one clip; "
            f"found {recipe.training.batch_size} for all parts",
        )


def _distances(output: torch.Tensor, windows: Windows, recipe: ReferenceRecipe) -> dict[str, torch.Tensor]:
    """The part of the loss that compares pixels."""
    region = _region(windows)
    on_object = (windows.true_labels == Label.OBJECT).unsqueeze(2)
    weight = 1 + recipe.region_weight * region + recipe.object_weight * on_object
    error = output - windows.target
    l1 = (weight * error.abs()).mean()
    edges = sum((weight * _slope(error, dim)).mean() for dim in (-1, -2))
    pairs = error.unflatten(1, (-1, 2))
    change = (region.unflatten(1, (-1, 2))[:, :, 0] * (pairs[:, :, 1] - pairs[:, :, 0]).abs()).mean()
    total = l1 + recipe.gradient_weight * edges + recipe.change_weight * change
    return {"loss": total, "l1": error.abs().mean(), "before": (windows.decoded - windows.target).abs().mean()}


def _palettes(data: RenderedClips, count: int) -> torch.Tensor:
    """Palettes of clips that show an actor, [count, 2, 3]; repeated if there are too few."""
    rows = torch.linspace(0, len(data) - 1, min(2 * count, len(data))).long().tolist()
    found = torch.cat([data.rendered.row(row)["palette"] for row in rows])
    shown = found[found.abs().amax(dim=(1, 2)) > 0]
    shown = shown if len(shown) else found
    return shown[torch.linspace(0, len(shown) - 1, count).long()]


def _region(windows: Windows) -> torch.Tensor:
    """Where something is, was at first, or changes, float [B, T, 1, h, w] in {0, 1}."""
    changed = (windows.target - windows.start).abs().amax(dim=2) > _CHANGE
    there = dilate((windows.true_labels > 0) | (windows.start_labels > 0), 9)
    return (there | changed).unsqueeze(2).float()


def _slope(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Absolute differences of neighbours along a dimension, zero at the end, in the shape of `values`."""
    steps = values.diff(dim=dim).abs()
    return torch.cat([steps, torch.zeros_like(values.narrow(dim, 0, 1))], dim=dim)


def _contest(adversary: PatchDiscriminator, output: torch.Tensor, windows: Windows) -> dict[str, torch.Tensor]:
    """See :func:`mask2iv.models.discriminator.contest`."""
    planes = label_planes(windows.true_labels.flatten(0, 1), output.dtype).unflatten(0, (-1, 2))
    first = windows.start.flatten(0, 1)[::2]
    real, made = (
        join_pairs(frames.flatten(0, 1).unflatten(0, (-1, 2)), planes, first) for frames in (windows.target, output)
    )
    region = _region(windows).flatten(0, 1).unflatten(0, (-1, 2)).amax(dim=1)
    return contest(adversary, real, made, region)


# --- validation


@torch.no_grad()
def _validate(decoder: ReferenceDecoder, held_out: RenderedClips, run: Run, step: int) -> dict[str, float]:
    """On all frames of held-out clips: PSNR in dB, overall, inside the object where it has moved and inside the actor,
    and image gradients relative to the true ones there."""
    sums: dict[str, list[float]] = {}
    strips, device = [], held_out.clips.device
    for row in range(min(_VALIDATION_CLIPS, len(held_out))):
        item, made = held_out.clips.item(row), held_out.rendered.row(row)
        video, decoded = to_float(item["video"].permute(0, 3, 1, 2)), to_float(made["decoded"][0])
        shown = held_out.conditioning.shown(item["labels"])
        pixels = made["decoded"][0].permute(0, 2, 3, 1).numpy()
        palette = torch.from_numpy(chosen_palette(decoder.bank, item["video"][0].numpy(), pixels, shown.numpy()))[None]
        first = FirstFrame(video[:1], to_float(made["plate"]), shown[:1], made["motions"].float(), palette)
        windows = [value.to(device) for value in (decoded[None], shown[None])]
        first = FirstFrame(*(value.to(device) for value in vars(first).values()))
        output = decoder(*windows, first)[0].float().clamp(-1, 1).cpu()
        labels = item["labels"]
        moved = (first.motions[0, :, 1, :, 2].cpu().norm(dim=-1) > 0) & (torch.arange(len(labels)) > 0)
        parts = {
            "": torch.ones_like(labels, dtype=torch.bool),
            "moved_": (labels == Label.OBJECT) & moved[:, None, None],
            "actor_": is_actor(labels),
        }
        for name, mask in parts.items():
            mask = mask.clone()
            mask[0] = False
            if mask.any():
                error = (output - video).square().mean(dim=1)[mask].mean() / 4
                sums.setdefault(f"{name}psnr", []).append(float(-10 * torch.log10(error + 1e-10)))
                energy = [_slope(frames, -1).mean(dim=1)[mask].mean() for frames in (output, video)]
                sums.setdefault(f"{name}gradients", []).append(float(energy[0] / energy[1]))
        sums.setdefault("decoded_psnr", []).append(psnr(decoded[1:], video[1:]))
        if row < 6:
            strips.append(
                torch.cat(
                    [frames[[len(labels) // 3, 2 * len(labels) // 3, -1]] for frames in (video, decoded, output)],
                    dim=-2,
                )
            )
    picture = filmstrip([("true, before, after", to_uint8(torch.cat(strips)))])
    write_png(run.directory / f"held_out_{step:06d}.png", picture)
    return {name: sum(values) / len(values) for name, values in sums.items()}
