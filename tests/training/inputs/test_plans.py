"""What planner and painter learn from, and that they learn from it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mask2iv.backbones.planning.conditions import scene_facts
from mask2iv.backbones.planning.planner import InteractionPlanner, on_border
from mask2iv.cli import main
from mask2iv.contract import Label
from mask2iv.data.store import ClipSet
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.inputs.mirror import mirrored_caption
from mask2iv.training.inputs.plans import PlanRows, _row, build_plans, mirrored
from mask2iv.training.networks.planner import _zoomed


def rows(clips: Path, tmp_path: Path) -> PlanRows:
    memory = ClipMemory(ClipSet(clips), (32, 64), 4)
    shards = build_plans(memory, "a" * 16, tmp_path)
    return PlanRows(shards, torch.zeros(2 * len(memory), 1, 8), torch.device("cpu"))


def test_a_mirror_image_has_the_plan_of_the_mirrored_clip(tiny_clips: Path, tmp_path: Path) -> None:
    """The clips are mirror images of each other in pairs: pushed to the left, pushed to the right."""
    found = rows(tiny_clips, tmp_path).batch([1])
    clip = ClipSet(tiny_clips)[0]
    turned = _row(np.ascontiguousarray(clip.image[:, ::-1]), np.ascontiguousarray(clip.trajectory.labels[:, :, ::-1]))
    for name, value in turned.items():
        wanted = torch.as_tensor(np.asarray(value))[None].float()
        wanted = wanted / 127 if name in ("moved", "actor", "thing") else wanted
        assert torch.allclose(found[name].float(), wanted, atol=0.06), name


def test_two_hands_change_places_in_a_mirror() -> None:
    """The right hand comes first in a plan, and what was a right hand looks like a left one."""
    labels = np.zeros((4, 64, 96), np.uint8)
    labels[:, 30:40, 40:56] = Label.OBJECT
    labels[:, 28:42, :30], labels[:, 20:44, 70:] = Label.SECOND_ACTOR, Label.ACTOR
    turned = np.ascontiguousarray(labels[:, :, ::-1])
    swapped = np.select(
        [turned == Label.ACTOR, turned == Label.SECOND_ACTOR], [Label.SECOND_ACTOR, Label.ACTOR], turned
    )
    image = np.zeros((64, 96, 3), np.uint8)
    one, other = (
        {name: torch.as_tensor(np.asarray(value))[None] for name, value in _row(image, each).items()}
        for each in (labels, swapped.astype(np.uint8))
    )
    found = mirrored(one)
    assert torch.allclose(found["plan"], other["plan"], atol=0.03)


@pytest.mark.parametrize(
    ("said", "turned"),
    [
        ("a hand rotating a knife counterclockwise to the left", "a hand rotating a knife clockwise to the right"),
        ("Push the cup to the left.", "Push the cup to the right."),
        ("Left of the bowl, leftwards", "Right of the bowl, rightwards"),
        ("leftover anti-clockwise", "leftover clockwise"),
    ],
)
def test_what_is_said_of_a_mirror_image(said: str, turned: str) -> None:
    assert mirrored_caption(said) == turned


def test_noise_and_noise_level_of_a_plan_are_drawn_apart(
    tiny_clips: Path, planning_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn from one seed twice they would depend on each other, and the level could be read off the noise."""
    seen: list[torch.Tensor] = []

    def mismatch(
        planner: torch.nn.Module, data: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, scene: object
    ) -> torch.Tensor:
        # Box and Muller's method turns uniform numbers into radii of pairs of normal ones.
        radii = noise[:, :8].square() + noise[:, 8:16].square()
        seen.append((radii + 2 * torch.log(1 - times.unsqueeze(1))).abs().min())
        return next(planner.parameters()).sum() * 0

    monkeypatch.setattr("mask2iv.training.networks.planner._mismatch", mismatch)
    out = tmp_path / "model"
    shutil.copytree(planning_model, out, ignore=shutil.ignore_patterns("training"))
    assert main(["train", "planner", "--data", str(tiny_clips), "--out", str(out), "--recipe", "tiny"]) == 0
    assert len(seen) >= 4
    assert min(seen) > 1e-3


def test_numbers_count_by_how_far_they_move_things() -> None:
    """A planner that gets the direction wrong must not make up for it with a hundred numbers that hardly matter."""
    planner = InteractionPlanner(num_frames=4, width=16, layers=1, heads=2, code=3)
    planner.plan_std.fill_(0.01)
    planner.plan_std[0, 0], planner.plan_std[3, 5] = 0.5, 1e-4
    weights = planner.importance()
    assert weights.shape == (planner.state_size,)
    assert float(weights.mean()) == pytest.approx(1.0)
    plan = weights[:-3].view(4, -1)
    assert plan.argmax() == 0
    assert 0 < plan[3, 5] < plan[1, 1] < plan[0, 0]


def test_zooming_a_scene_zooms_its_plan(tiny_clips: Path, tmp_path: Path) -> None:
    """The object's centroid in the zoomed picture is where the zoomed numbers say."""
    batch = rows(tiny_clips, tmp_path).batch([0, 2, 4])
    draws = torch.rand(3, 8, generator=torch.Generator().manual_seed(1))
    plans, scene = _zoomed(batch, draws, 0.2)
    height, width = scene.picture.shape[-2:]
    width_units = float(batch["width"][0])
    rows_, columns = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width * width_units
    y, x = torch.meshgrid(rows_, columns, indexing="ij")
    plane = scene.picture[:, 3].clamp(0, 1)
    centre = torch.stack([(plane * x).sum((1, 2)), (plane * y).sum((1, 2))], dim=1) / plane.sum((1, 2)).unsqueeze(1)
    assert torch.allclose(centre, scene.start[:, :2], atol=0.04)
    zoom = torch.exp(0.2 * (2 * draws[:, 0] - 1))
    assert torch.allclose(plans[:, :, :2], batch["plan"][:, :, :2] * zoom.view(-1, 1, 1))
    assert torch.allclose(plans[..., 3], batch["plan"][..., 3]), "angles stay"


def test_arms_come_from_the_border() -> None:
    """Of a wide picture, 2 x 1: an entry in the air, one outside, one in a corner, a hand without an arm."""
    tips = torch.tensor([[1.0, 0.5]] * 4)
    entries = torch.tensor([[1.4, 0.7], [1.5, 1.25], [1.95, 0.95], [1.4, 0.7]])
    covered = torch.tensor([0.1, 0.1, 0.2, 0.0])
    found = on_border(tips, entries, covered, torch.full((4,), 2.0))
    expected = torch.tensor([[2.0, 1.0], [1.3333, 1.0], [1.95, 0.95], [1.4, 0.7]])
    assert torch.allclose(found, expected, atol=1e-3)


def test_training_and_generation_see_one_scene_alike(tiny_clips: Path, tmp_path: Path) -> None:
    found = rows(tiny_clips, tmp_path).batch([4])
    clip = ClipSet(tiny_clips)[2]
    facts = scene_facts(clip.image, clip.trajectory.labels[0], clip.target_mask)
    for name, value in vars(facts).items():
        assert torch.equal(found[name][0], torch.as_tensor(value)), name


@pytest.mark.parametrize(("component", "figure"), [("painter", "actor_iou"), ("planner", "loss")])
def test_more_steps_do_better(
    component: str, figure: str, tiny_clips: Path, planning_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    shutil.copytree(planning_model, out, ignore=shutil.ignore_patterns("training"))
    command = ["train", component, "--data", str(tiny_clips), "--held-out", str(tiny_clips), "--out", str(out)]
    settings = {"max_steps": 120, "checkpoint_every": 120, "ema_decay": 0.9, "learning_rate": 3e-3}
    flags = [part for key, value in settings.items() for part in ("--set", f"{component}.training.{key}={value}")]
    assert main([*command, "--recipe", "tiny", "--threads", "1", *flags]) == 0
    before = json.loads((planning_model / "training" / component / "manifest.json").read_text())["figures"][figure]
    after = json.loads((out / "training" / component / "manifest.json").read_text())["figures"][figure]
    assert after > 0.5 if figure == "actor_iou" else after < 0.9 * before


def test_planner_and_painter_train_further_from_given_weights(
    tiny_clips: Path, planning_model: Path, tmp_path: Path
) -> None:
    """One more step from the weights of a folder: everything they need is taken along, and they change a little."""
    from safetensors.torch import load_file

    out = tmp_path / "model"
    for component in ("painter", "planner", "reference"):
        command = ["train", component, "--data", str(tiny_clips), "--out", str(out), "--recipe", "tiny"]
        shorter = ["--set", f"{component}.training.max_steps=1", "--set", f"{component}.training.ema_decay=0"]
        assert main([*command, "--threads", "1", "--initial-weights", str(planning_model), *shorter]) == 0
        folder = {"reference": "reference_decoder"}.get(component, component)
        name = Path(folder) / "diffusion_pytorch_model.safetensors"
        old, new = load_file(planning_model / name), load_file(out / name)
        assert all(torch.allclose(old[key], new[key], atol=3e-3) for key in old)
        assert any(not torch.equal(old[key], new[key]) for key in old)


def test_painting_loss_prefers_the_true_shape() -> None:
    from mask2iv.backbones.planning.painter import Painted
    from mask2iv.training.networks.painter import painting_loss

    true = torch.full((1, 1, 8, 8), -0.5)
    true[..., 2:6, 2:6] = 0.5
    shifted = true.roll(1, dims=-1)
    blurred = F.avg_pool2d(true, 3, 1, 1)
    losses = [float(painting_loss(Painted(maps, maps), Painted(true, true))) for maps in (true, shifted, blurred)]
    assert losses[0] < min(losses[1:])


def test_helpers_prepare_what_one_process_would(tiny_clips: Path, tmp_path: Path) -> None:
    memory = ClipMemory(ClipSet(tiny_clips), (32, 64), 4)
    alone = build_plans(memory, "a" * 64, tmp_path / "alone")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        helped = build_plans(memory, "a" * 64, tmp_path / "helped")
    finally:
        torch.set_num_threads(before)
    for index in range(len(memory)):
        one, other = alone.row(index), helped.row(index)
        assert all(torch.equal(one[name], other[name]) for name in one)
