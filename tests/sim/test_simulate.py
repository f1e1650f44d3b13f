"""The simulator: what users of its clips rely on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the sim extra is not installed")

from mask2iv.contract import Clip, Label
from mask2iv.data.store import ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.scaling.processes import ProcessCrew
from mask2iv.sim import ACTIONS_OF, Renderer, SimConfig, contact_sheet, simulate_clip, simulate_clips, vocabulary

SMALL = {"height": 64, "width": 96, "num_frames": 16}
TOWARDS = {"left": (-1, 0), "right": (1, 0), "forward": (0, -1), "backward": (0, 1)}
CASES = [(actor, verb) for actor, actions in ACTIONS_OF.items() for verb in actions]
SAID = {"hand": "a hand", "hands": "two hands", "robot": "a robot arm"}


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    shared = Renderer(SMALL["height"], SMALL["width"])
    yield shared
    shared.close()


@pytest.fixture(scope="module")
def clips(renderer: Renderer) -> dict[tuple[str, str], Clip]:
    return {
        (actor, verb): simulate_clip(SimConfig(**SMALL, actor=actor, verbs=(verb,)), 5, i, renderer)[0]
        for i, (actor, verb) in enumerate(CASES)
    }


def _centroid(mask: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(mask)
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize(("actor", "verb"), CASES)
def test_every_action_is_shown_and_said(clips: dict[tuple[str, str], Clip], actor: str, verb: str) -> None:
    clip = clips[actor, verb]
    assert (clip.actor, clip.verb) == (actor, verb)
    assert clip.caption.startswith(f"{SAID[actor]} {verb} ")
    assert set(clip.caption.split()) <= set(vocabulary())
    assert clip.object_name in clip.caption
    assert (" an " in clip.caption) == ("apple" in clip.caption)
    second = {Label.SECOND_ACTOR} if actor == "hands" else set()
    assert set(np.unique(clip.trajectory.labels)) == {Label.BACKGROUND, Label.ACTOR, Label.OBJECT} | second
    assert clip.object_mask.any()
    assert clip.target_mask.any()
    assert clip.video.std() > 10
    json.dumps(clip.metadata)


@pytest.mark.parametrize(("actor", "verb"), CASES)
def test_object_moves_only_while_touched(clips: dict[tuple[str, str], Clip], actor: str, verb: str) -> None:
    clip = clips[actor, verb]
    assert clip.contact is not None
    assert clip.contact.any()
    joint = clip.metadata["object_joint"] or [0.0] * len(clip.video)
    state = np.column_stack([clip.metadata["object_pose"], joint])
    moved = np.abs(np.diff(state, axis=0)).max(axis=1) > 1e-4
    assert moved.any()
    assert (clip.contact[1:] & clip.contact[:-1])[moved].all()
    if verb != "putting down":
        assert not clip.contact[0]


def test_said_direction_is_seen(renderer: Renderer) -> None:
    seen = set()
    for index in range(8):
        config = SimConfig(**SMALL, verbs=("pushing", "pulling", "moving"))
        clip, _ = simulate_clip(config, 9, index, renderer)
        direction = clip.metadata["direction"]
        assert direction in clip.caption
        shift = _centroid(clip.target_mask) - _centroid(clip.object_mask)
        along = float(shift @ np.array(TOWARDS[direction]))
        assert along > 0.05 * np.hypot(64, 96)
        assert along > 0.7 * np.linalg.norm(shift)
        seen.add(direction)
    assert len(seen) >= 3


def test_left_hand_of_two_is_the_second_actor(clips: dict[tuple[str, str], Clip]) -> None:
    labels = clips["hands", "lifting"].trajectory.labels[-1]
    assert _centroid(labels == Label.SECOND_ACTOR)[0] < _centroid(labels == Label.OBJECT)[0]
    assert _centroid(labels == Label.OBJECT)[0] < _centroid(labels == Label.ACTOR)[0]


def test_blur_and_noise_change_pictures_but_not_labels(renderer: Renderer) -> None:
    plain = SimConfig(**SMALL, actor="hand", verbs=("moving",))
    sharp = simulate_clip(plain, 2, 0, renderer)[0]
    for field in ("blur", "noise"):
        config = SimConfig(**SMALL, actor="hand", verbs=("moving",), **{field: 1.0})
        touched = simulate_clip(config, 2, 0, renderer)[0]
        np.testing.assert_array_equal(touched.trajectory.labels, sharp.trajectory.labels)
        change = np.abs(touched.video.astype(int) - sharp.video).mean(axis=(0, 3))
        acted = sharp.trajectory.actor.any(axis=0)
        assert change[acted].mean() > 1
        # Blur appears where objects or their shadows move; noise is everywhere.
        assert (np.median(change) < 0.2) == (field == "blur")


def test_labels_do_not_need_pictures(renderer: Renderer, clips: dict[tuple[str, str], Clip]) -> None:
    config = SimConfig(**SMALL, actor="hand", verbs=("moving",))
    index = CASES.index(("hand", "moving"))
    bare = simulate_clip(config, 5, index, renderer, pictures=False)[0]
    np.testing.assert_array_equal(bare.trajectory.labels, clips["hand", "moving"].trajectory.labels)
    assert bare.metadata == clips["hand", "moving"].metadata
    assert not bare.video.any()


def test_known_draw_needs_no_search(renderer: Renderer) -> None:
    config = SimConfig(**SMALL, actor="robot", verbs=("closing",), objects=("safe",))
    found, rejected = simulate_clip(config, 4, 2, renderer, pictures=False)
    again, none = simulate_clip(config, 4, 2, renderer, draw=found.metadata["draw"], pictures=False)
    assert again.metadata == found.metadata
    np.testing.assert_array_equal(again.trajectory.labels, found.trajectory.labels)
    assert sum(rejected.values()) == found.metadata["draw"]
    assert none == {}
    assert found.metadata["draw"] > 0
    with pytest.raises(InputError, match="draw 0 of seed 4"):
        simulate_clip(config, 4, 2, renderer, draw=0, pictures=False)


def test_something_stands_in_the_line_of_sight(renderer: Renderer) -> None:
    config = SimConfig(**SMALL, actor="robot", verbs=("pushing",), occlusion=1.0)
    clip = simulate_clip(config, 1, 0, renderer)[0]
    assert clip.metadata["occluder"]
    assert len(clip.metadata["distractors"]) >= 1


def test_objects_can_be_restricted(renderer: Renderer) -> None:
    config = SimConfig(**SMALL, objects=("stapler",), actor="robot", domains=("lab",))
    clip = simulate_clip(config, 0, 0, renderer)[0]
    assert clip.object_name == "stapler"
    assert set(clip.metadata["distractors"]) <= {"stapler"}
    assert clip.metadata["room"]["domain"] == "lab"


def test_same_seed_gives_same_bytes_in_other_processes(renderer: Renderer) -> None:
    config = SimConfig(**SMALL)
    here = [simulate_clip(config, 3, index, renderer)[0] for index in (0, 1)]
    there = [clip for clip, _ in simulate_clips(config, 3, (0, 1), ProcessCrew(2))]
    for a, b in zip(here, there, strict=True):
        assert a.clip_id == b.clip_id
        assert a.caption == b.caption
        np.testing.assert_array_equal(a.video, b.video)
        np.testing.assert_array_equal(a.trajectory.labels, b.trajectory.labels)
        assert a.metadata == b.metadata
    assert not np.array_equal(here[0].video, here[1].video)
    assert here[1].clip_id == "sim-3-000001"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("height", 8), ("width", 4000), ("num_frames", 4), ("fps", 0.0), ("actor", "foot"), ("verbs", ("juggling",))),
        *(("objects", ("cloud",)), ("objects", ()), ("domains", ("moon",)), ("distractors", 0), ("split", "exam")),
        *(("blur", 1.5), ("noise", -0.1), ("occlusion", 2.0)),
    ],
)
def test_bad_configuration_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{field}: "):
        SimConfig(**{field: value})  # type: ignore[arg-type]


def test_impossible_action_is_refused() -> None:
    with pytest.raises(InputError, match="two hands cannot do pouring"):
        SimConfig(actor="hands", verbs=("pouring",))
    with pytest.raises(InputError, match="a robot arm cannot do opening"):
        SimConfig(actor="robot", verbs=("opening",), objects=("mug",))


def test_renderer_of_another_size_is_refused(renderer: Renderer) -> None:
    with pytest.raises(InputError, match=r"^renderer: must have .* 160x256, found 64x96"):
        simulate_clip(SimConfig(), 0, 0, renderer)


def test_contact_sheet_lays_out_clips(clips: dict[tuple[str, str], Clip]) -> None:
    pair = [clips["hand", "pushing"], clips["robot", "pushing"]]
    sheet = contact_sheet(pair, columns=3)
    assert sheet.shape == (4 * 64, 3 * 96, 3)
    np.testing.assert_array_equal(sheet[:64, :96], pair[0].video[0])
    with pytest.raises(InputError, match=r"^clips: at least 1 clip"):
        contact_sheet([])


def test_missing_mujoco_is_one_clear_error() -> None:
    program = (
        "import sys; sys.modules['mujoco'] = None\n"
        "from mask2iv.errors import InputError\n"
        "try:\n    import mask2iv.sim\n"
        "except InputError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=True)
    assert 'pip install ".[sim]"' in result.stdout


def test_an_interrupted_series_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    config = SimConfig(height=32, width=64)
    clips = [clip for clip, _ in simulate_clips(config, 3, range(3))]

    def write(folder: Path, given: list[Clip], finish: bool) -> int:
        """Add the clips that are missing; returns how many were there."""
        with (
            contextlib.suppress(ZeroDivisionError),
            ClipSetWriter(folder, (32, 64), config.num_frames, config.fps, {"seed": 3}, resume=True) as writer,
        ):
            there = len(writer.rows)
            for clip in given[there:]:
                writer.add(clip)
            if not finish:
                raise ZeroDivisionError
        return there

    assert write(tmp_path / "whole", clips, True) == 0
    assert write(tmp_path / "parts", clips[:1], False) == 0
    with (tmp_path / "parts" / "unfinished.jsonl").open("a") as file:
        file.write('{"clip_id": "sim-')  # killed in the middle of a line
    assert write(tmp_path / "parts", clips[:2], False) == 1
    with pytest.raises(InputError, match="clip set that was begun with other settings"):
        ClipSetWriter(tmp_path / "parts", (32, 64), 4, 8.0, {"seed": 4}, resume=True)
    kind = ((32, 64), config.num_frames, config.fps, {"seed": 3})
    with contextlib.suppress(ZeroDivisionError), ClipSetWriter(tmp_path / "parts", *kind, resume=True):
        with pytest.raises(InputError, match="another process writes this clip set"):
            write(tmp_path / "parts", clips, True)
        raise ZeroDivisionError
    assert write(tmp_path / "parts", clips, True) == 2
    files = {path.relative_to(tmp_path / "whole"): path for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    assert len(files) == 8
    for name, path in files.items():
        assert (tmp_path / "parts" / name).read_bytes() == path.read_bytes(), name
    assert {p.name for p in (tmp_path / "parts").iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}
