"""The mean of several plans."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mask2iv.backbones.planning.averaging import AveragingPredictor, mean_plan
from mask2iv.backbones.planning.predictor import DrawnPlan, PlanningPredictor
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.stages.interfaces import SamplingOptions
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.plan import InteractionPlan


@pytest.fixture(scope="module")
def predictor(planning_model: Path) -> PlanningPredictor:
    found = Mask2IVPipeline.from_pretrained(planning_model).predictor
    assert isinstance(found, PlanningPredictor)
    return found


@pytest.fixture(scope="module")
def scenes(tiny_clips: Path, predictor: PlanningPredictor) -> list[Scene]:
    size = (predictor.config.height, predictor.config.width)
    clips = ClipSet(tiny_clips)
    return [Scene(clip.image, clip.object_mask, clip.caption).at(size) for clip in (clips[0], clips[1])]


@pytest.fixture(scope="module")
def drawn(predictor: PlanningPredictor, scenes: list[Scene]) -> list[DrawnPlan]:
    return predictor.draw([scenes[0]] * 3, [0, 1, 2], SamplingOptions())


def test_one_draw_is_the_model_s_own_and_more_are_repeatable(predictor: PlanningPredictor, scenes: list[Scene]) -> None:
    options, seeds = SamplingOptions(), [5, 6]
    own = predictor.predict(scenes, seeds, options)
    [one, _] = AveragingPredictor(predictor, 1).predict(scenes, seeds, options)
    assert np.array_equal(one.labels, own[0].labels)
    four = AveragingPredictor(predictor, 4)
    [mean, other] = four.predict(scenes, seeds, options)
    assert not np.array_equal(mean.labels, own[0].labels)
    [alone] = four.predict(scenes[1:], seeds[1:], options)
    assert (alone.labels == other.labels).mean() > 0.999, "whatever else is in the call"


def test_the_mean_is_of_the_numbers_and_begins_at_the_object(drawn: list[DrawnPlan]) -> None:
    mean = mean_plan(drawn).plan
    assert np.allclose(mean.shift, np.mean([one.plan.shift for one in drawn], axis=0))
    assert np.allclose(mean.shift[0], 0)
    assert mean.start == drawn[0].plan.start


def test_an_actor_is_where_most_plans_have_it(drawn: list[DrawnPlan]) -> None:
    numbers = drawn[0].plan.to_array()
    there, gone = numbers.copy(), numbers.copy()
    there[:, 4], there[:, 5:13], gone[:, 4:13] = 1, 0.25, 0

    def plans(*arrays: np.ndarray) -> list[DrawnPlan]:
        return [replace(drawn[0], plan=InteractionPlan.from_array(one, (0.5, 0.5))) for one in arrays]

    most = mean_plan(plans(there, gone, there)).plan.actors[0]
    assert most.present.all()
    assert np.allclose(most.tip, 0.25), "plans without it do not count"
    assert not mean_plan(plans(there, gone, gone)).plan.actors[0].present.any()


def test_no_draws_are_refused(predictor: PlanningPredictor) -> None:
    with pytest.raises(InputError, match="at least 1"):
        AveragingPredictor(predictor, 0)
