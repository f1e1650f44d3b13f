"""Whether pictures convince: constructed videos whose blur, noise, flicker and pieces are known."""

import cv2
import numpy as np
import pytest

from mask2iv.contract import Clip, Label, Trajectory, UInt8Array
from mask2iv.evaluation.measures import fidelity, metrics

HEIGHT, WIDTH, FRAMES = 60, 80, 7
PIXEL_NOISE = np.random.default_rng(0).integers(-20, 21, (FRAMES, HEIGHT, WIDTH, 3))


def carried() -> Trajectory:
    """An object of 20x20 pixels goes right by 3 pixels a frame, an actor of 10x16 beside it comes along."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    for t, frame in enumerate(labels):
        left = 24 + 3 * t
        frame[25:35, left - 16 : left] = Label.ACTOR
        frame[20:40, left : left + 20] = Label.OBJECT
    return Trajectory(labels)


def clip_of(trajectory: Trajectory) -> Clip:
    """Fine stripes everywhere, of other colours on the object and on the actor."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    stripes = np.repeat((100 + 40 * ((x + y) // 2 % 2))[..., None], 3, axis=-1).astype(np.uint8)
    video = np.repeat(stripes[None], FRAMES, axis=0)
    video[trajectory.object] += np.array([80, 0, 0], dtype=np.uint8)
    video[trajectory.actor] += np.array([60, 40, 20], dtype=np.uint8)
    return Clip("a", video, trajectory, "a hand pushing a box", "pushing", "box", "hand")


def blurred(video: UInt8Array) -> UInt8Array:
    return np.stack([np.asarray(cv2.GaussianBlur(frame, (0, 0), 2.0)) for frame in video])


def noisy(video: UInt8Array) -> UInt8Array:
    return np.clip(video + PIXEL_NOISE, 0, 255).astype(np.uint8)


def test_the_true_video_has_exactly_its_own_detail() -> None:
    clip = clip_of(carried())
    found = fidelity.gradient_ratios(clip.video, clip.trajectory, clip)
    assert found == dict.fromkeys(fidelity.GRADIENTS, 1.0)
    assert set(fidelity.region_psnr(clip.video, clip).values()) == {metrics.PSNR_LIMIT}


def test_blur_takes_detail_away_and_noise_adds_some() -> None:
    clip = clip_of(carried())
    blur = fidelity.gradient_ratios(blurred(clip.video), clip.trajectory, clip)
    noise = fidelity.gradient_ratios(noisy(clip.video), clip.trajectory, clip)
    for name in fidelity.GRADIENTS:
        assert blur[name] is not None
        assert noise[name] is not None
        assert blur[name] < 0.5
        assert noise[name] > 1.1


def test_detail_is_measured_by_region() -> None:
    clip = clip_of(carried())
    video = clip.video.copy()
    inside = clip.trajectory.object
    video[inside] = blurred(clip.video)[inside]
    found = fidelity.gradient_ratios(video, clip.trajectory, clip)
    assert found["gradient_object"] is not None
    assert found["gradient_object"] < 0.5
    assert (found["gradient_actor"], found["gradient_rest"]) == (1.0, 1.0)


def test_outlines_are_no_detail() -> None:
    """A plain object before a plain wall has no detail, however sharp its outline."""
    clip = clip_of(carried())
    plain = np.full_like(clip.video, 90)
    plain[clip.trajectory.object] = 200
    assert fidelity.gradient_ratios(plain, clip.trajectory, clip)["gradient_object"] == 0.0
    flat = Clip("b", plain, clip.trajectory, "", "pushing", "box", "hand")
    assert fidelity.gradient_ratios(clip.video, clip.trajectory, flat)["gradient_object"] is None


def test_a_video_is_looked_at_where_it_was_to_show_the_object() -> None:
    """The same object elsewhere has the same detail; where PSNR looks, the truth shows it and the video does not."""
    clip = clip_of(carried())
    lower = Trajectory(np.roll(clip.trajectory.labels, 16, axis=1))
    video = np.roll(clip.video, 16, axis=1)
    found = fidelity.gradient_ratios(video, lower, clip)
    assert found["gradient_object"] == found["gradient_actor"] == 1.0
    elsewhere = fidelity.region_psnr(video, clip)["psnr_object"]
    assert elsewhere is not None
    assert elsewhere < 20


def test_an_object_counts_once_it_has_moved() -> None:
    """Of one that goes 0, 0, 3 pixels of a diagonal of 100, the last frame alone; of one at rest, none."""
    labels = carried().labels[[0, 0, 1]]
    where = fidelity.regions(Trajectory(labels))
    assert not where["object"][0].any()
    assert where["object"][1].sum() == 400
    assert where["rest"][0].sum() == HEIGHT * WIDTH - 160, "the object at rest is among the rest"
    assert (sum(region.astype(int) for region in where.values()) == 1).all()
    resting = clip_of(Trajectory(np.repeat(carried().labels[:1], FRAMES, axis=0)))
    assert fidelity.region_psnr(resting.video, resting)["psnr_object"] is None
    assert fidelity.gradient_ratios(resting.video, resting.trajectory, resting)["gradient_object"] is None


def test_psnr_sees_the_region_and_nothing_else() -> None:
    clip = clip_of(carried())
    video = clip.video.copy()
    video[clip.trajectory.actor] += 5
    video[clip.trajectory.labels == 0] = 0
    found = fidelity.region_psnr(video, clip)
    assert found["psnr_object"] == metrics.PSNR_LIMIT
    assert found["psnr_actor"] == pytest.approx(20 * np.log10(255 / 5))


def test_a_flickering_actor_differs_from_a_steady_one_and_from_a_blurred_one() -> None:
    clip = clip_of(carried())
    steady = fidelity.actor_flicker(clip.video, clip.trajectory)
    video = clip.video.copy()
    video[1::2][clip.trajectory.actor[1::2]] += 8
    flickering = fidelity.actor_flicker(video, clip.trajectory)
    blur = fidelity.actor_flicker(blurred(clip.video), clip.trajectory)
    assert steady is not None
    assert flickering is not None
    assert blur is not None
    assert flickering > steady + 10
    assert blur == pytest.approx(steady, abs=3.0)


def test_flicker_of_a_known_change() -> None:
    labels = np.full((3, 4, 4), Label.ACTOR, dtype=np.uint8)
    video = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    video[1] = 10
    assert fidelity.actor_flicker(video, Trajectory(labels)) == 20.0
    even = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.full((4, 4, 3), 10, dtype=np.uint8)
    assert fidelity.actor_flicker(even, Trajectory(labels)) == 0.0
    assert fidelity.actor_flicker(video, Trajectory(np.zeros_like(labels))) is None
    assert fidelity.actor_flicker(video[:2], Trajectory(labels[:2])) is None, "it takes three frames"


def test_pieces_of_the_actor_stand_beside_the_true_ones() -> None:
    true = carried()
    torn = true.labels.copy()
    for t in range(1, FRAMES):
        torn[t, :, 14 + 3 * t : 17 + 3 * t] = 0
    assert fidelity.actor_components(true, true) == {"actor_components": 1.0, "actor_components_ratio": 1.0}
    assert fidelity.actor_components(Trajectory(torn), true)["actor_components"] == 2.0
    # Both are split by the object in front.
    assert fidelity.actor_components(Trajectory(torn), Trajectory(torn))["actor_components_ratio"] == 1.0
    speck = true.labels.copy()
    speck[:, 0, 0] = Label.ACTOR  # below 2 % of 160 pixels
    assert fidelity.actor_components(Trajectory(speck), true)["actor_components"] == 1.0
    speck[:, 0, :4] = Label.ACTOR
    assert fidelity.actor_components(Trajectory(speck), true)["actor_components"] == 2.0


def test_frames_without_an_actor_have_no_pieces() -> None:
    true = carried()
    late = true.labels.copy()
    late[:4][late[:4] == Label.ACTOR] = 0
    assert fidelity.actor_components(Trajectory(late), true)["actor_components"] == 1.0
    none = Trajectory(np.where(true.labels == Label.OBJECT, true.labels, np.uint8(0)))
    assert fidelity.actor_components(none, true) == {"actor_components": None, "actor_components_ratio": None}
    assert fidelity.actor_components(true, none) == {"actor_components": 1.0, "actor_components_ratio": None}
