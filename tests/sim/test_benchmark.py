"""The named benchmarks: no leakage between splits, and the same clips for everyone."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the sim extra is not installed")

from mask2iv.cli import main
from mask2iv.contract import Clip
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.sim.benchmark import BENCHMARKS, CLIPS, Entry, benchmark_clips, digest, read_record
from mask2iv.sim.world.assets.catalogue import OBJECTS, Props, instance
from mask2iv.sim.world.assets.pools import SPLITS

SIZE = (80, 128)


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, str], list[Clip]]:
    """The first recorded clips of each split, compared with the record."""
    found = {}
    for name, benchmark in BENCHMARKS.items():
        for split in SPLITS:
            record = read_record(benchmark, split)
            found[name, split] = [
                clip for clip, _ in benchmark_clips(benchmark, split, 1 + (split == "test"), SIZE, None, record)
            ]
    return found


def _used(clips: list[Clip]) -> tuple[set[str], set[str]]:
    """(object instances, scenes) that clips use."""
    objects, scenes = set(), set()
    for clip in clips:
        meta = clip.metadata
        objects |= {meta["object_instance"], meta["receptacle_instance"], *meta["distractor_instances"]} - {""}
        scenes.add(meta["room"]["scene"])
    return objects, scenes


def test_no_instance_and_no_scene_is_in_two_splits() -> None:
    for a, b in combinations(SPLITS.values(), 2):
        assert not set(a.instances) & set(b.instances)
        assert not set(a.scenes) & set(b.scenes)


def test_clips_draw_from_their_own_split_only(made: dict[tuple[str, str], list[Clip]]) -> None:
    for (_, split), clips in made.items():
        objects, scenes = _used(clips)
        assert len(objects) >= 2
        assert {int(name.rsplit("-", 1)[1]) for name in objects} <= set(SPLITS[split].instances)
        assert {int(name.rsplit("-", 1)[1]) for name in scenes} <= set(SPLITS[split].scenes)


def test_every_object_of_a_clip_has_a_number(made: dict[tuple[str, str], list[Clip]]) -> None:
    for clips in made.values():
        for clip in clips:
            assert clip.metadata["object_instance"]
            assert len(clip.metadata["distractor_instances"]) == len(clip.metadata["distractors"])
            assert all(clip.metadata["distractor_instances"])


def test_instances_of_different_splits_differ() -> None:
    for kind in OBJECTS:
        looks = [
            tuple((g.size, g.colour, g.pose.p.tobytes()) for g in (*model.base, *model.mover))
            for model in (instance(kind, pool.instances[0]) for pool in SPLITS.values())
        ]
        # A mesh keeps its shape in its vertices; such objects differ in colours and other parts.
        assert len(set(looks)) == len(looks)


def test_props_draw_each_instance_of_the_split() -> None:
    pool = SPLITS["validation"].instances
    props, rng = Props(OBJECTS, pool), np.random.default_rng(0)
    seen = {props.make("can", rng).instance for _ in range(300)}
    assert seen == {f"can-{number:03d}" for number in pool}


@pytest.mark.parametrize("name", tuple(BENCHMARKS))
def test_record_is_complete(name: str) -> None:
    for split, count in CLIPS.items():
        record = read_record(BENCHMARKS[name], split)
        assert len(record) >= (count or 64)
        assert len({entry.digest for entry in record}) == len(record)


def test_digest_depends_on_all_clips_so_far(made: dict[tuple[str, str], list[Clip]]) -> None:
    first, second = made["sim-robot", "test"]
    record = read_record(BENCHMARKS["sim-robot"], "test")
    assert digest(digest("", vars(first)), vars(second)) == record[1].digest
    assert digest(digest("", vars(second)), vars(first)) != record[1].digest
    assert digest("", vars(replace(first, caption="a robot arm resting"))) != record[0].digest
    path = [list(pose) for pose in first.metadata["object_pose"]]
    path[3][0] += 1e-7
    close = replace(first, metadata={**first.metadata, "object_pose": path})
    path = [list(pose) for pose in path]
    path[3][0] += 0.002
    other = replace(first, metadata={**first.metadata, "object_pose": path})
    assert digest("", vars(close)) == record[0].digest
    assert digest("", vars(other)) != record[0].digest


def test_clip_off_the_record_is_named() -> None:
    benchmark = BENCHMARKS["sim-robot"]
    wrong = [Entry(read_record(benchmark, "test")[0].draw, "0" * 16)]
    with pytest.raises(InputError, match="sim-robot-test-000000"):
        list(benchmark_clips(benchmark, "test", 1, SIZE, None, wrong))


def test_command_makes_and_checks_a_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    flags = ["--benchmark", "sim-robot", "--split", "test", "--clips", "1", "--workers", "1", "--size", "80x128"]
    assert main(["simulate", *flags, "--out", str(out)]) == 0
    assert "all 1 clips are those on record" in capsys.readouterr().out
    clips = ClipSet(out)
    assert clips.ids == ["sim-robot-test-000000"]
    assert clips.info["provenance"]["benchmark"] == "sim-robot"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--benchmark", "sim-hoi"), "--split"),
        (("--split", "test"), "--benchmark"),
        (("--benchmark", "sim-hoi", "--split", "train"), "--clips"),
        (("--benchmark", "sim-hoi", "--split", "test", "--seed", "3"), "--seed"),
        (("--benchmark", "sim-hoi", "--split", "test", "--noise", "1"), "--noise"),
        (("--benchmark", "sim-hoi", "--split", "test", "--size", "64x64"), "5:8"),
        (("--objects", "cloud"), "--objects: must be among mug"),
        (("--actor", "hands", "--verbs", "pouring"), "--verbs: two hands cannot do pouring"),
        (("--clips", "0"), "--clips"),
    ],
)
def test_bad_flags_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], said: str
) -> None:
    assert main(["simulate", *flags, "--out", str(tmp_path / "set")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
