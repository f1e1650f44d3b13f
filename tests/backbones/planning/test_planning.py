"""Stage 1 by plans: what is promised of every trajectory, whatever the networks answer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mask2iv.backbones.planning.conditions import SceneFacts, scene_facts
from mask2iv.backbones.planning.predictor import PlanningStage, _composed, _settled, _touching
from mask2iv.contract import Label, UInt8Array
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.morphology import contact_map
from mask2iv.trajectories.plan import ACTOR_NUMBERS, NUMBERS, OBJECT_NUMBERS

SIZE = (64, 96)


def disc(row: float, column: float, radius: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.hypot(rows - row, columns - column) <= radius


@pytest.fixture(scope="module")
def pipeline(planning_model: Path) -> Mask2IVPipeline:
    return Mask2IVPipeline.from_pretrained(planning_model)


@pytest.fixture(scope="module")
def scene(tiny_clips: Path) -> dict[str, object]:
    clip = ClipSet(tiny_clips)[0]
    return {
        "image": clip.image,
        "object_mask": clip.object_mask,
        "prompt": clip.caption,
        "target_mask": clip.target_mask,
        "actor_mask": clip.trajectory.actor[0],
    }


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_seed_means_one_trajectory_alone_and_in_batches(pipeline: Mask2IVPipeline, scene: dict[str, object]) -> None:
    [alone] = pipeline.trajectory(**scene, generator=seeded(3), progress=False)
    [again] = pipeline.trajectory(**scene, generator=seeded(3), progress=False)
    assert np.array_equal(alone.labels, again.labels)
    free = {**scene, "target_mask": None, "actor_mask": None}
    drawn = pipeline.trajectory(**free, generator=[3, 3, 4], num_videos_per_prompt=3, progress=False)
    assert np.array_equal(drawn[0].labels, drawn[1].labels)
    assert not np.array_equal(drawn[0].labels, drawn[2].labels)
    many = pipeline.trajectory(
        **scene, num_videos_per_prompt=2, generator=[seeded(4), seeded(3)], batch_size=2, progress=False
    )
    assert (many[1].labels == alone.labels).mean() > 0.999


@pytest.mark.parametrize("seed", range(6))
def test_the_object_begins_as_given_never_vanishes_and_ends_at_the_target(
    pipeline: Mask2IVPipeline, scene: dict[str, object], seed: int
) -> None:
    """With networks of four training steps: it holds by construction."""
    [found] = pipeline.trajectory(**scene, generator=seeded(seed), progress=False)
    assert np.array_equal(found.object[0], scene["object_mask"])
    assert np.array_equal(found.actor[0], scene["actor_mask"])
    area = found.object[0].sum()
    assert (found.object.sum(axis=(1, 2)) > 0.05 * area).all()
    target = np.asarray(scene["target_mask"])
    gap = np.argwhere(found.object[-1]).mean(axis=0) - np.argwhere(target).mean(axis=0)
    assert np.abs(gap).max() < 4


def test_text_alone_and_target_alone_will_do(pipeline: Mask2IVPipeline, scene: dict[str, object]) -> None:
    text = {**scene, "target_mask": None, "actor_mask": None}
    target = {**scene, "prompt": None}
    for given in (text, target):
        [found] = pipeline.trajectory(**given, generator=seeded(0), progress=False)
        assert found.labels.shape == (4, 32, 64)
    with pytest.raises(InputError, match="give a prompt, a target mask, or both"):
        pipeline.trajectory(scene["image"], scene["object_mask"], progress=False)


def test_both_stages_chain(pipeline: Mask2IVPipeline, scene: dict[str, object]) -> None:
    output = pipeline(**scene, generator=seeded(1), progress=False)
    [trajectory] = pipeline.trajectory(**scene, generator=seeded(1), progress=False)
    assert np.array_equal(output.trajectory[0].labels, trajectory.labels)
    assert output.frames[0].shape == (4, 32, 64, 3)


def test_a_folder_of_plans_is_saved_and_loaded(
    pipeline: Mask2IVPipeline, scene: dict[str, object], tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path / "model")
    [before] = pipeline.trajectory(**scene, generator=seeded(2), progress=False)
    again = Mask2IVPipeline.from_pretrained(tmp_path / "model")
    [after] = again.trajectory(**scene, generator=seeded(2), progress=False)
    assert np.array_equal(before.labels, after.labels)
    assert again.trajectory_stage is None


def test_planner_and_painter_must_belong_together(pipeline: Mask2IVPipeline) -> None:
    from mask2iv.backbones.planning.painter import MaskPainter

    assert pipeline.planning_stage is not None
    with pytest.raises(InputError, match="do not belong together"):
        PlanningStage(pipeline.planning_stage.planner, MaskPainter(widths=(8, 16, 16), code=7), 4)
    with pytest.raises(InputError, match="draws 4 frames, the model's config says num_frames 16"):
        PlanningStage(pipeline.planning_stage.planner, pipeline.planning_stage.painter, 16)


# --- what is drawn, brought into line


def facts(target: np.ndarray | None = None) -> SceneFacts:
    labels = disc(30, 30, 8).astype(np.uint8) * np.uint8(Label.OBJECT)
    labels[40:, :20] = Label.ACTOR
    image: UInt8Array = np.full((*SIZE, 3), 128, np.uint8)
    return scene_facts(image, labels, target)


def test_a_plan_begins_at_rest_and_ends_where_asked() -> None:
    drawn = np.random.default_rng(0).normal(0, 0.1, (9, NUMBERS))
    known = facts(disc(40, 60, 8))
    plan = _settled(drawn, known, 1.5)
    assert plan.shift[0] == pytest.approx(0)
    assert plan.angle[0] == plan.log_scale[0] == 0
    assert plan.shift[-1] * (SIZE[0] - 1) == pytest.approx([30, 10], abs=0.5)


def test_a_target_at_the_border_is_reached_all_the_same() -> None:
    drawn = np.random.default_rng(0).normal(0, 0.1, (9, NUMBERS))
    corner = disc(63, 95, 3)
    known = facts(corner)
    plan = _settled(drawn, known, 95 / 63)
    assert [*plan.shift[-1], plan.log_scale[-1]] == pytest.approx(known.target[:3], abs=1e-6)


@pytest.mark.parametrize("begins", [0, 2, 9])
def test_a_known_actor_is_in_the_plan_from_the_first_frame_on(begins: int) -> None:
    drawn = np.random.default_rng(0).normal(0, 0.1, (9, NUMBERS))
    drawn[:, OBJECT_NUMBERS] = np.arange(9) >= begins
    drawn[:, OBJECT_NUMBERS + ACTOR_NUMBERS] = 0
    known = facts()
    plan = _settled(drawn, known, 95 / 63)
    first = plan.actors[0]
    assert first.present[0]
    assert first.centre[0] == pytest.approx(known.actors[6:8], abs=1e-6)
    assert first.present[-1] == (begins < 9), "later, it is as drawn"


def test_an_object_stays_in_the_picture() -> None:
    drawn = np.zeros((5, NUMBERS))
    drawn[:, 0] = np.linspace(0, 5, 5)
    plan = _settled(drawn, facts(), 95 / 63)
    places = (np.array(plan.start) + plan.shift) * (SIZE[0] - 1)
    assert (places[:, 0] < SIZE[1]).all()


def distance(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 0.5, -0.5).astype(np.float32)


def test_a_hidden_object_is_brought_to_the_front() -> None:
    thing, arm = disc(30, 40, 8), disc(30, 40, 20)
    labels = _composed(2 * distance(arm), distance(thing), thing, thing)
    assert np.array_equal(labels == Label.OBJECT, thing)


def test_crumbs_are_swept_up() -> None:
    thing, arm = disc(30, 40, 8), disc(30, 70, 12) | disc(5, 5, 2)
    labels = _composed(distance(arm), distance(thing), thing, thing)
    assert not (labels[:10, :10] == Label.ACTOR).any()


def test_no_object_moves_untouched() -> None:
    thing, before, arm = disc(30, 40, 8), disc(30, 36, 8), disc(30, 62, 8)
    assert not contact_map(arm, thing).any()
    moved = _composed(distance(arm), distance(thing), thing, before)
    assert contact_map(moved == Label.ACTOR, moved == Label.OBJECT).any()
    resting = _composed(distance(arm), distance(thing), thing, thing)
    assert np.array_equal(resting == Label.ACTOR, arm)


def test_a_far_actor_is_not_torn_off_the_border() -> None:
    far = disc(30, 95, 6)
    assert np.array_equal(_touching(far, disc(30, 20, 8)), far)
    near = np.zeros(SIZE, bool)
    near[26:34, 60:] = True
    moved = _touching(near, disc(30, 40, 12))
    assert moved[26:34, -1].all(), "an arm goes on outside of the picture"
