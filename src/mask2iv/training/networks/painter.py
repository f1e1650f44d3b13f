"""Training of the mask painter: from the numbers of a clip's plan to its masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mask2iv.backbones.planning.painter import KnownMaps, MaskPainter, Painted
from mask2iv.media.filmstrip import filmstrip
from mask2iv.media.images import write_png
from mask2iv.models.discriminator import PatchDiscriminator, contest
from mask2iv.recipes import PainterRecipe
from mask2iv.training.engine.loop import Trainer, Validation
from mask2iv.training.engine.run import Run
from mask2iv.training.engine.samples import Samples
from mask2iv.training.inputs.plans import PlanRows
from mask2iv.training.networks.pictures import to_uint8

_SEEN = 2 + 3
"""Maps that the adversary sees: two painted or true ones, and three known ones."""
_SHARPNESS = 6.0
"""Steepness of the sigmoid that maps a distance to the probability of a pixel being inside."""


def known_of(batch: dict[str, torch.Tensor], with_actor: torch.Tensor, frames: torch.Tensor | None = None) -> KnownMaps:
    """The known maps of a batch, with the first frame's actor where `with_actor`, bool [B], is set."""
    moved = batch["moved"] if frames is None else _take(batch["moved"], frames)
    actor = torch.where(with_actor.view(-1, 1, 1, 1), batch["actor"][:, :1], -torch.ones_like(batch["actor"][:, :1]))
    return KnownMaps(moved.unsqueeze(2), batch["thing"][:, :1], actor)


def _take(values: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """The frames [B, K] of values [B, T, ...]."""
    return values[torch.arange(len(frames), device=frames.device).unsqueeze(1), frames]


class PainterPair(nn.Module):
    """The painter and its adversary, one module for the engine: each loss reaches the weights of one of them."""

    def __init__(self, painter: MaskPainter) -> None:
        super().__init__()
        self.painter = painter
        self.adversary = PatchDiscriminator(_SEEN, (32, 64, 96), patch=1)


def train_painter(
    recipe: PainterRecipe,
    rows: PlanRows,
    names: list[str],
    held_out: PlanRows,
    empty: torch.Tensor,
    run: Run,
    start: MaskPainter | None = None,
) -> tuple[MaskPainter, dict[str, float]]:
    """Train the painter with the encoder of its shape code (a variational autoencoder's, Kingma and Welling 2014).

    From step ``adversarial_from`` on, the encoder is frozen, so that the planner's codes stay valid, and a PatchGAN
    is added: where the plan leaves a hand's fingers open, the mean over all hands would be a mitten.

    Args:
        recipe: sizes and optimisation.
        rows: rows to train on.
        names: clip id of each row.
        held_out: rows to measure on.
        empty: tokens of the empty prompt, [1, L, D].
        run: where the training happens.
        start: a painter to train further; None for a new one.

    Returns:
        The painter and its held-out figures: mean IoU of actor and object at the maps' resolution.
    """
    torch.manual_seed(recipe.training.seed)
    painter = start or MaskPainter(recipe.widths, recipe.depth, recipe.code, rows.text.shape[-1])
    pair = PainterPair(painter)
    nn.Module.to(pair, rows.device)

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        return _losses(pair, rows, samples, recipe, empty)

    def figures(step: int) -> dict[str, float]:
        return measure(painter, held_out, run, step)

    trainer = Trainer(pair, recipe.training, run, loss, names, Validation(figures, "actor_iou"), resting=True)
    return painter, trainer.run()


def _losses(
    pair: PainterPair, rows: PlanRows, samples: Samples, recipe: PainterRecipe, empty: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The loss of these samples, and its parts."""
    generators = samples.generators()
    batch = rows.batch(samples.rows)
    frames = torch.stack(
        [torch.randperm(batch["moved"].shape[1], generator=g)[: recipe.frames] for g in generators]
    ).to(rows.device)
    chances = torch.stack([torch.rand(2, generator=g) for g in generators]).to(rows.device)
    noise = torch.stack([torch.randn(recipe.code, generator=g) for g in generators]).to(rows.device)
    true = Painted(_take(batch["actor"], frames), _take(batch["thing"], frames))
    contested = samples.place >= recipe.adversarial_from
    with torch.set_grad_enabled(not contested):
        mean, log_variance = pair.painter.encoder(true)
    code = mean + noise * (log_variance / 2).exp()
    text = torch.where((chances[:, 0] < recipe.drop_text).view(-1, 1, 1), empty.to(batch["text"]), batch["text"])
    plans = _take(batch["plan"], frames)
    plans = plans + recipe.jitter * torch.stack([torch.randn(plans.shape[1:], generator=g) for g in generators]).to(
        plans
    )
    known = known_of(batch, chances[:, 1] >= recipe.drop_actor, frames)
    times = frames.float() / max(batch["moved"].shape[1] - 1, 1)
    found = pair.painter(plans, batch["start"][:, :2], known, code, text, times, batch["plan"][:, 0])
    shapes = painting_loss(found, true)
    surprise = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    parts = {"loss": shapes + recipe.code_weight * surprise, "shapes": shapes, "surprise": surprise}
    if contested:
        game = contest(pair.adversary, judged_maps(true, known), judged_maps(found, known), _near_actors(true))
        wanted = recipe.adversarial_weight * game["fooled"] + recipe.feature_weight * game["features"]
        parts["loss"] = parts["loss"] + wanted + game["adversary"]
        parts |= game
    return parts


def _near_actors(true: Painted) -> torch.Tensor:
    """Where actors are or almost are, [B * T, 1, h, w] in {0, 1}."""
    return (true.actor > -0.5).flatten(0, 1).unsqueeze(1)


def judged_maps(painted: Painted, known: KnownMaps) -> torch.Tensor:
    """What the adversary sees of each frame, [B * T, _SEEN, h, w]: painted edges, and the known maps."""
    frames = painted.actor.shape[1]
    edges = [torch.tanh(_SHARPNESS * maps.float()) for maps in (painted.actor, painted.thing)]
    first = [maps.expand(-1, frames, -1, -1) for maps in (known.first_object, known.first_actor)]
    return torch.stack([*edges, known.moved.squeeze(2), *first], dim=2).flatten(0, 1)


def painting_loss(found: Painted, true: Painted) -> torch.Tensor:
    """L1 of the distances, and cross-entropy of inside and outside, which emphasises the edge."""
    total = torch.zeros((), device=true.actor.device)
    for one, other in ((found.actor, true.actor), (found.thing, true.thing)):
        one = one.float()
        inside = (other > 0).float()
        total = total + F.l1_loss(one.clamp(-1.2, 1.2), other)
        total = total + 0.3 * F.binary_cross_entropy_with_logits(_SHARPNESS * one, inside)
    return total


@torch.no_grad()
def measure(painter: MaskPainter, rows: PlanRows, run: Run, step: int) -> dict[str, float]:
    """Mean IoU over frames after the first of held-out clips, painted from true plans and codes."""
    totals = {"actor_iou": [0.0, 0], "object_iou": [0.0, 0]}
    shown = []
    for row in range(0, min(len(rows), 96), 2):
        batch = rows.batch([row])
        true = Painted(batch["actor"], batch["thing"])
        code, _ = painter.encoder(true)
        known = known_of(batch, torch.ones(1, dtype=torch.bool, device=rows.device))
        found = painter(batch["plan"], batch["start"][:, :2], known, code, batch["text"])
        for name, one, other in (("actor_iou", found.actor, true.actor), ("object_iou", found.thing, true.thing)):
            both, either = ((one > 0) & (other > 0))[:, 1:], ((one > 0) | (other > 0))[:, 1:]
            counts = either.sum(dim=(2, 3))
            shares = both.sum(dim=(2, 3)) / counts.clamp(min=1)
            totals[name][0] += float(shares[counts > 0].sum())
            totals[name][1] += int((counts > 0).sum())
        if row < 12:
            shown.append(torch.cat([_seen(true), _seen(found)], dim=-2)[::5])
    write_png(run.directory / f"held_out_{step:06d}.png", filmstrip([("true, painted", to_uint8(torch.cat(shown)))]))
    return {name: total / max(count, 1) for name, (total, count) in totals.items()}


def _seen(painted: Painted) -> torch.Tensor:
    """Frames [T, 3, h, w] in [-1, 1], the actor green and the object red."""
    green, red = (nn.functional.hardtanh(8 * maps[0].float()) for maps in (painted.actor, painted.thing))
    return torch.stack([red, green, -torch.ones_like(green)], dim=1)
