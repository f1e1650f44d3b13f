"""Training of the planner by flow matching: plans and shape codes of clips, given what a user would provide."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from mask2iv.backbones.planning.painter import MaskPainter, Painted
from mask2iv.backbones.planning.planner import PICTURE, InteractionPlanner, PlannerConditions, on_border
from mask2iv.recipes import PlannerRecipe
from mask2iv.training.engine.loop import Trainer, Validation
from mask2iv.training.engine.run import Run
from mask2iv.training.engine.samples import Samples
from mask2iv.training.inputs.plans import PlanRows
from mask2iv.trajectories.plan import ACTOR_NUMBERS, ACTORS, actor_numbers

_NOISES = 8
"""Noise levels at which held-out plans are measured."""


def train_planner(
    recipe: PlannerRecipe,
    painter: MaskPainter,
    rows: PlanRows,
    names: list[str],
    held_out: PlanRows,
    empty: torch.Tensor,
    run: Run,
    start: InteractionPlanner | None = None,
) -> tuple[InteractionPlanner, dict[str, float]]:
    """Train the planner. The figures are the loss on held-out clips with all conditions given, and ``velocity``, the
    same with all numbers weighted alike.

    Args:
        recipe: sizes and optimisation.
        painter: encodes the clips' shapes.
        rows: rows to train on.
        names: clip id of each row.
        held_out: rows to measure on.
        empty: tokens of the empty prompt, [1, L, D].
        run: where the training happens.
        start: a planner to train further, with its own units; None for a new one.
    """
    torch.manual_seed(recipe.training.seed)
    frames = rows.tensors["plan"].shape[1]
    planner = start or InteractionPlanner(
        frames, recipe.width, recipe.layers, recipe.heads, painter.code, rows.text.shape[-1], recipe.dropout
    )
    nn.Module.to(planner, rows.device)
    codes, held_codes = (_codes(painter, part) for part in (rows, held_out))
    if start is None:
        planner.fit(_every(rows, "plan"), codes)

    weights = planner.importance()

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        batch = rows.batch(samples.rows)
        # One generator for both: two with the same seed would make the noise a function of the other draws.
        generators = samples.generators()
        draws = torch.stack([torch.rand(7, generator=g) for g in generators]).to(rows.device)
        plans, scene = _some_conditions(batch, draws, recipe, empty.to(rows.device))
        data = planner.encode(plans, codes[samples.rows])
        noise = torch.stack([torch.randn(data.shape[1], generator=g) for g in generators]).to(data)
        errors = _mismatch(planner, data, noise, draws[:, 6], scene)
        return {"loss": (weights * errors).mean(), "velocity": errors.detach().mean()}

    @torch.no_grad()
    def figures(step: int) -> dict[str, float]:
        index = list(range(0, len(held_out), 2))
        batch = held_out.batch(index)
        errors = _mean_mismatch(planner, planner.encode(batch["plan"], held_codes[index]), scene_of(batch))
        return {"loss": float((weights * errors).mean()), "velocity": float(errors.mean())}

    trainer = Trainer(planner, recipe.training, run, loss, names, Validation(figures, "loss", larger_is_better=False))
    return planner, trainer.run()


def _mismatch(
    planner: InteractionPlanner, data: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, scene: PlannerConditions
) -> torch.Tensor:
    """Squared errors of the velocity on the straight path from noise to data, [B, state_size]."""
    t = times.unsqueeze(1)
    found = planner(t * data + (1 - t) * noise, times, scene)
    return (found.float() - (data - noise)).square()


def _mean_mismatch(planner: InteractionPlanner, data: torch.Tensor, scene: PlannerConditions) -> torch.Tensor:
    """Mean squared errors over :data:`_NOISES` fixed noise levels, [B, state_size]."""
    errors = torch.zeros_like(data)
    for level in range(_NOISES):
        noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(level)).to(data)
        times = torch.full((len(data),), (level + 0.5) / _NOISES, device=data.device)
        errors += _mismatch(planner, data, noise, times, scene) / _NOISES
    return errors


def _every(rows: PlanRows, name: str) -> torch.Tensor:
    """A small field of all rows."""
    return torch.cat([rows.batch([index])[name] for index in range(len(rows))])


@torch.no_grad()
def _codes(painter: MaskPainter, rows: PlanRows) -> torch.Tensor:
    """The shape code of every row, [N, code]."""
    found = []
    for start in range(0, len(rows), 16):
        batch = rows.batch(list(range(start, min(start + 16, len(rows)))))
        found.append(painter.encoder(Painted(batch["actor"], batch["thing"]))[0])
    return torch.cat(found)


def scene_of(batch: dict[str, torch.Tensor]) -> PlannerConditions:
    """All conditions of a batch."""
    names = ("picture", "start", "has_target", "target", "has_actor", "actors", "text")
    return PlannerConditions(**{name: batch[name] for name in names})


def _some_conditions(
    batch: dict[str, torch.Tensor], draws: torch.Tensor, recipe: PlannerRecipe, empty: torch.Tensor
) -> tuple[torch.Tensor, PlannerConditions]:
    """Plans and scenes, zoomed, with some conditions left out; `draws` are uniform, [B, 7]."""
    plans, scene = _zoomed(batch, draws, recipe.zoom)
    no_text, no_target, no_actor = (
        draws[:, i] < share for i, share in ((3, recipe.drop_text), (4, recipe.drop_target), (5, recipe.drop_actor))
    )
    keep = torch.ones_like(scene.picture[:, :, :1, :1])
    keep[:, 4], keep[:, 5] = (~no_actor).float().view(-1, 1, 1), (~no_target).float().view(-1, 1, 1)
    return plans, replace(
        scene,
        picture=scene.picture * keep,
        has_target=scene.has_target & ~no_target,
        has_actor=scene.has_actor & ~no_actor,
        text=torch.where(no_text.view(-1, 1, 1), empty, scene.text),
    )


def _zoomed(batch: dict[str, torch.Tensor], draws: torch.Tensor, most: float) -> tuple[torch.Tensor, PlannerConditions]:
    """The scene zoomed in or out: pictures and all coordinates alike.

    A point p goes to s * (p - c) + c for a zoom s about a point c of the picture; lengths are multiplied by s.
    """
    zoom = torch.exp(most * (2 * draws[:, 0] - 1))
    centre = draws[:, 1:3] * torch.stack([batch["width"], torch.ones_like(batch["width"])], dim=1)
    offset = (1 - zoom).unsqueeze(1) * centre
    scene = scene_of(batch)
    with torch.autocast(zoom.device.type, enabled=False):
        grid = F.affine_grid(_inverse(zoom, 2 * draws[:, 1:3] - 1), [len(zoom), 1, *PICTURE], align_corners=False)
        picture = F.grid_sample(scene.picture, grid, padding_mode="border", align_corners=False)
    start = torch.cat([zoom.unsqueeze(1) * scene.start[:, :2] + offset, zoom.unsqueeze(1) * scene.start[:, 2:]], dim=1)
    target = torch.cat([zoom.unsqueeze(1) * scene.target[:, :2], scene.target[:, 2:]], dim=1)
    plans = batch["plan"].clone()
    plans[..., :2] *= zoom.view(-1, 1, 1)
    each = [actor_numbers(plans, i) for i in range(ACTORS)]
    given = scene.actors.clone()
    each += [given[..., i * ACTOR_NUMBERS :][..., :ACTOR_NUMBERS].unsqueeze(1) for i in range(ACTORS)]
    places = [start[:, None, :2] + plans[..., :2]] * ACTORS + [start[:, None, :2]] * ACTORS
    for numbers, place in zip(each, places, strict=True):
        present, shift = numbers[..., :1], offset.unsqueeze(1)
        numbers[..., 1:] *= zoom.view(-1, 1, 1)
        for point in (slice(3, 5), slice(6, 8)):
            numbers[..., point] += present * shift
        # Zoomed out, an arm still comes from the border; zoomed in, it enters where the new border is.
        widths = batch["width"].unsqueeze(1).expand(numbers.shape[:2])
        entries = on_border(place + numbers[..., 1:3], numbers[..., 3:5], numbers[..., 5], widths)
        numbers[..., 3:5] = torch.where(present > 0.5, entries, numbers[..., 3:5])
    return plans, replace(scene, picture=picture, start=start, target=target, actors=given)


def _inverse(zoom: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """For each zoom about `centre` in [-1, 1] the map from the new picture to the old, [B, 2, 3]."""
    scale = 1 / zoom
    matrix = torch.zeros(len(zoom), 2, 3, device=zoom.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = (1 - scale).unsqueeze(1) * centre
    return matrix
