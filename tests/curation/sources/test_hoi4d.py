"""HOI4D: which actions become clips, their captions, frames, labels, splits, and what is left out and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mask2iv.contract import Label
from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.running.splits import split_of
from mask2iv.curation.sources.footage import frames_between
from mask2iv.curation.sources.hoi4d.actions import Event, LeftOut, choose_actions, read_actions
from mask2iv.curation.sources.hoi4d.definitions import CATEGORIES, UNKNOWN, verbing
from mask2iv.curation.sources.hoi4d.masks import decode_palette, palette_colours
from mask2iv.curation.sources.hoi4d.source import Hoi4dSource, group_of, read_list
from mask2iv.curation.sources.interfaces import ListedSplit, Problem, Recording, Segment
from mask2iv.errors import InputError

Tree = tuple[Path, Mapping[str, str]]
META = Path(__file__).parents[3] / ".." / "shared" / "data" / "hoi4d_meta"


def recordings_of(source: Hoi4dSource) -> dict[str, Recording]:
    return {entry.name: entry for entry in source.entries() if isinstance(entry, Recording)}


def problems_of(source: Hoi4dSource) -> dict[str, str]:
    return {entry.name: entry.reason for entry in source.entries() if isinstance(entry, Problem)}


def frames(segment: Segment) -> tuple[int, int]:
    assert segment.stop is not None
    return round(segment.start * 15), round(segment.stop * 15)


@pytest.mark.parametrize(
    ("what", "captions"),
    [
        ("plain", ["a hand grasping a mug", "a hand picking up a mug", "a hand putting down a mug"]),
        ("marks", ["a hand grasping a laptop", "a hand picking up a laptop", "a hand putting down a laptop"]),
        ("no duration", ["a hand grasping a bottle", "a hand picking up a bottle", "a hand putting down a bottle"]),
        ("ball", ["a hand grasping a ball", "a hand picking up a ball", "a hand putting down a ball"]),
    ],
)
def test_each_action_becomes_a_segment_in_seconds_of_the_video(hoi4d: Tree, what: str, captions: list[str]) -> None:
    root, names = hoi4d
    recording = recordings_of(Hoi4dSource(root))[names[what]]
    assert [segment.description.caption for segment in recording.segments] == captions
    # The grasp begins with the Reachout before it; a put-down of 15 frames is extended to 16.
    assert [frames(segment) for segment in recording.segments] == [(15, 45), (45, 90), (135, 151)]
    assert [segment.key for segment in recording.segments] == ["02-grasping", "03-picking-up", "05-putting-down"]
    assert frames_between(recording.footage.scan(), 3.0, 6.0).tolist() == list(range(45, 90))


def test_masks_mean_what_the_category_says(hoi4d: Tree, trees: ModuleType) -> None:
    root, names = hoi4d
    found = recordings_of(Hoi4dSource(root))
    for what, left in (("plain", False), ("marks", False), ("both hands", True), ("ball", False)):
        recording = found[names[what]]
        masks = recording.segments[0].masks
        assert masks is not None
        [labels] = masks.read([60], recording.footage.scan(), trees.SIZE)
        expected = np.zeros(trees.SIZE, dtype=np.uint8)
        expected[trees.object_box(60, 300)] = Label.OBJECT
        expected[trees.actor_box(60, 300)] = Label.ACTOR
        if left:
            expected[trees.left_hand_box()] = Label.SECOND_ACTOR
        assert (labels == expected).all(), what


def test_a_bowl_holds_its_ball_unless_the_ball_is_what_is_moved() -> None:
    whole, ball = CATEGORIES["C7"].meanings("T1"), CATEGORIES["C7"].meanings("T4")
    assert whole[:4].tolist() == [Label.BACKGROUND, Label.OBJECT, Label.ACTOR, Label.OBJECT]
    assert ball[:4].tolist() == [Label.BACKGROUND, Label.BACKGROUND, Label.ACTOR, Label.OBJECT]
    assert (whole[4:] == UNKNOWN).all()


def test_colours_of_the_palette_are_decoded_and_others_seen(trees: ModuleType) -> None:
    numbers = np.arange(256, dtype=np.uint8)
    assert palette_colours().tolist() == [list(trees.voc_colour(number)) for number in range(256)]
    decoded, known = decode_palette(palette_colours())
    assert (decoded == numbers).all()
    assert known.all()
    _, known = decode_palette(np.array([[128, 1, 0], [255, 0, 0]], dtype=np.uint8))
    assert not known.any()


def test_what_cannot_be_used_is_told_with_its_reason(hoi4d: Tree) -> None:
    root, names = hoi4d
    found = problems_of(Hoi4dSource(root))
    assert {what: found.get(name) for what, name in names.items()} == {
        **dict.fromkeys(names),
        "left out category": "category left out",
        "no masks": "masks missing",
        "damaged actions": "actions unreadable",
        "no actions": "actions missing",
        "no video": "video missing",
    }
    short = names["short"]
    assert (found[f"{short}/00"], found[f"{short}/01"]) == ("action too short", "action without a known verb")
    assert found[f"{names['plain']}/04"] == "action left out"
    [kept] = recordings_of(Hoi4dSource(root))[short].segments
    assert kept.description.caption == "a hand pushing a pair of scissors"


def test_missing_masks_and_strange_colours_are_named(hoi4d: Tree) -> None:
    root, names = hoi4d
    found = recordings_of(Hoi4dSource(root))
    for what, expected in (
        ("missing masks", "has none for frame 45"),
        (
            "strange colour",
            r"frame 45 .* has the colour \(128, 128, 128\), number 7 .* means nothing for C1 \(toy car\)",
        ),
    ):
        recording = found[names[what]]
        masks = recording.segments[1].masks
        assert masks is not None
        with pytest.raises(InputError, match=expected):
            masks.read([45], recording.footage.scan(), (36, 64))


def test_sequences_without_masks_are_taken_where_masks_are_to_be_found(hoi4d: Tree) -> None:
    root, names = hoi4d
    recording = recordings_of(Hoi4dSource(root, find_masks=True))[names["no masks"]]
    assert recording.segments[0].masks is None
    assert recording.segments[0].phrases == ("toy car",)


def test_the_official_test_list_gives_splits_that_do_not_leak(hoi4d: Tree, tmp_path: Path) -> None:
    root, names = hoi4d
    found = recordings_of(Hoi4dSource(root))
    splits = {what: found[name].segments[0].split for what, name in names.items() if name in found}
    # The same object in the same room and layout, seen by another camera in another task, is test too.
    assert {what for what, split in splits.items() if split == "test"} == {"official test", "leaks"}
    assert set(splits.values()) == {"not test", "test"}
    assert found[names["leaks"]].group == found[names["official test"]].group == "H3/C12/N06/S12/s03"
    (tmp_path / "list.txt").write_text(names["plain"] + "\n")
    chosen = Hoi4dSource(root, sequences=tmp_path / "list.txt", test_list=tmp_path / "list.txt")
    assert [entry.segments[0].split for entry in chosen.entries() if isinstance(entry, Recording)] == ["test"]


def test_a_list_chooses_sequences_and_those_not_there_are_told(hoi4d: Tree, tmp_path: Path) -> None:
    root, names = hoi4d
    absent = "ZY20210800009/H9/C1/N1/S1/s1/T1"
    (tmp_path / "release.txt").write_text(f"{names['ball']}\n\n{absent}\n{names['plain']}\n")
    entries = list(Hoi4dSource(root, sequences=tmp_path / "release.txt").entries())
    assert [entry.name for entry in entries if isinstance(entry, Recording)] == [names["ball"], names["plain"]]
    assert [entry.name for entry in entries if getattr(entry, "reason", "") == "sequence not on disk"] == [absent]
    (tmp_path / "release.txt").write_text(f"{names['ball']}\n../../etc\n")
    with pytest.raises(InputError, match=r"line 2: '\.\./\.\./etc' is not a HOI4D sequence"):
        read_list(tmp_path / "release.txt")


def test_videos_and_annotations_may_lie_in_the_two_folders_of_the_archives(trees: ModuleType, tmp_path: Path) -> None:
    name = "ZY20210800001/H1/C2/N1/S1/s1/T1"
    folder = trees.write_hoi4d_sequence(tmp_path / "HOI4D_release", name, mask_step=50)
    other = tmp_path / "HOI4D_annotations" / name
    other.mkdir(parents=True)
    for part in ("action", "2Dseg"):
        (folder / part).rename(other / part)
    [recording] = recordings_of(Hoi4dSource(tmp_path)).values()
    assert len(recording.segments) == 3
    # A folder within the tree names its sequences like the root.
    inner = Hoi4dSource(tmp_path / "HOI4D_release" / "ZY20210800001" / "H1")
    assert [entry.name for entry in inner.entries()] == [name]


@pytest.mark.parametrize(
    ("info", "stop", "expected"),
    [
        ({"duration": 20.0}, 10.0, 150),
        ({"duration": 10.0}, 5.0, 150),
        ({"duration": 20}, 4, 60),
        ({}, 20.0, 300),
        ({}, 10.0, 300),  # no duration, and nothing after 10 s: it counts in halves
        ({"duration": 20.0}, 20.04, 300),
    ],
)
def test_times_are_scaled_by_the_stated_duration(
    info: dict[str, float], stop: float, expected: int, tmp_path: Path
) -> None:
    path = tmp_path / "color.json"
    path.write_text(json.dumps({"info": info, "events": [{"event": "Push", "startTime": 0, "endTime": stop}]}))
    found = read_actions(path)
    assert [event.stop for event in found.events] == [expected]
    assert found.stated == bool(info)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"info": {}}, "neither events nor markResult"),
        ({"events": [{"event": "Push", "startTime": 3, "endTime": 2}]}, "lasts from 3 to 2 s"),
        ({"info": {"duration": 10}, "events": [{"event": "Push", "startTime": 3, "endTime": 20}]}, "of 10 s"),
        ({"events": [{"event": "Push", "startTime": "3"}]}, "startTime"),
        ({"info": {"duration": -1}, "events": []}, "must be positive"),
    ],
)
def test_annotations_that_cannot_be_meant_are_refused(content: object, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "color.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=expected):
        read_actions(path)


def test_a_short_action_at_the_end_is_extended_backwards() -> None:
    [action] = choose_actions([Event("Push", 287, 300)])
    assert not isinstance(action, LeftOut)
    assert (action.start, action.stop) == (284, 300)
    [action] = choose_actions([Event("Push", 289, 300)])
    assert isinstance(action, LeftOut)
    [_, action] = choose_actions([Event("rest", 0, 20), Event("Grasp", 20, 40)])
    assert not isinstance(action, LeftOut)
    assert action.start == 20, "only a Reachout is taken with it"


def test_names_of_actions_are_read_in_any_spelling() -> None:
    assert [verbing(name) for name in ("Pickup", "pick-up", "Putdown", "Pull", "CLOSE", "Turn on")] == [
        "picking up", "picking up", "putting down", "pulling", "closing", "turning on"
    ]  # fmt: skip
    assert [type(one) for one in choose_actions([Event(name, 0, 50) for name in ("paper-cut", "Carry", "dump")])] == [
        LeftOut
    ] * 3


@pytest.mark.skipif(not META.is_dir(), reason="the data set's lists are not here")
def test_the_official_lists_and_definitions_are_understood() -> None:
    released, tested = read_list(META / "release.txt"), read_list(META / "testset.txt")
    assert (len(released), len(tested)) == (2971, 897)
    assert {name.split("/")[2] for name in released} == set(CATEGORIES)
    # What is held out beyond the list itself so that nothing leaks.
    held = {group_of(name) for name in tested}
    assert sum(group_of(name) in held and name not in set(tested) for name in released) < 10
    # One draw divides the others: about 5 % of them become validation.
    official: dict[str, ListedSplit] = {
        name: "test" if group_of(name) in held else "not test" for name in {*released, *tested}
    }
    splits = Counter(split_of(group_of(name), said, CurationConfig()) for name, said in official.items())
    assert splits == {"train": 2794, "validation": 145, "test": 898}
    for line in (META / "motion_segmentation_labels.csv").read_text().splitlines()[1:]:
        key, _, *meanings = line.split(",")
        table = CATEGORIES[key].meanings("T1")
        for number in range(1, 7):
            meaning = meanings[number - 1] if number <= len(meanings) else ""
            assert (table[number] == UNKNOWN) == (not meaning.strip()), (key, number)
            assert (table[number] == Label.ACTOR) == (meaning == "Right Hand"), (key, number)
            assert (table[number] == Label.SECOND_ACTOR) == (meaning == "Left Hand"), (key, number)
