"""BridgeData V2: captions, cameras, what is left out, and pickles that are never opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mask2iv.curation.examination import examine
from mask2iv.curation.sources.bridge import BridgeSource
from mask2iv.curation.sources.interfaces import Problem, Recording
from mask2iv.errors import InputError

Tree = tuple[Path, Mapping[str, str]]


def recordings_of(source: BridgeSource) -> dict[str, Recording]:
    return {entry.name: entry for entry in source.entries() if isinstance(entry, Recording)}


@pytest.mark.parametrize(
    ("what", "caption", "verb", "phrases"),
    [
        ("plain", "a robot gripper put the silver pot on the left burner", "putting", ("silver pot", "left burner")),
        ("no confidence", "a robot gripper open the drawer", "opening", ("drawer",)),
        ("two cameras", "a robot gripper fold the cloth from top right to bottom left", "folding", ("cloth",)),
        ("punctuated", "a robot gripper put the green cup in the sink", "putting", ("green cup", "sink")),
    ],
)
def test_captions_and_what_a_detector_is_asked_for(
    bridge: Tree, what: str, caption: str, verb: str, phrases: tuple[str, ...]
) -> None:
    root, names = bridge
    [segment] = recordings_of(BridgeSource(root))[f"{names[what]}/images0"].segments
    assert (segment.description.caption, segment.description.verb, segment.phrases) == (caption, verb, phrases)
    assert segment.description.object_name == phrases[0]
    assert (segment.description.actor, segment.split, segment.masks) == ("robot", None, None)


def test_further_instructions_and_confidence_are_kept_as_facts(bridge: Tree) -> None:
    root, names = bridge
    facts = recordings_of(BridgeSource(root))[f"{names['punctuated']}/images0"].facts
    assert facts["confidence"] == 1.0
    assert facts["other_instructions"] == ["place cup into sink"]


def test_what_cannot_be_used_is_told_with_its_reason(bridge: Tree) -> None:
    root, names = bridge
    found = {entry.name: entry.reason for entry in BridgeSource(root).entries() if isinstance(entry, Problem)}
    assert found == {
        names["no caption"]: "no caption",
        names["empty caption"]: "no caption",
        names["doubtful"]: "caption confidence below 0.4",
        names["bad confidence"]: "caption unreadable",
        names["no pictures"]: "pictures missing",
        names["depth only"]: "pictures missing",
    }
    assert f"{names['doubtful']}/images0" in recordings_of(BridgeSource(root, min_confidence=0.3))


def test_cameras_of_a_trajectory_are_one_group(bridge: Tree) -> None:
    root, names = bridge
    both = BridgeSource(root, cameras=("images0", "images1"))
    found = recordings_of(both)
    first, second = (found[f"{names['two cameras']}/{camera}"] for camera in ("images0", "images1"))
    assert first.group == second.group == names["two cameras"]
    missing = [entry.name for entry in both.entries() if getattr(entry, "reason", "") == "camera missing"]
    assert f"{names['plain']}/images1" in missing
    with pytest.raises(InputError, match="cameras: must be images0"):
        BridgeSource(root, cameras=("../images0",))


def test_trajectories_come_in_the_order_of_their_numbers(bridge: Tree) -> None:
    root, names = bridge
    order = [entry.name.removesuffix("/images0") for entry in BridgeSource(root).entries()]
    assert order.index(names["punctuated"]) < order.index(names["tenth"]), "9 before 10"
    assert order == [entry.name.removesuffix("/images0") for entry in BridgeSource(root).entries()]


def test_pictures_are_read_by_number_at_5_fps(bridge: Tree) -> None:
    root, names = bridge
    footage = recordings_of(BridgeSource(root))[f"{names['plain']}/images0"].footage
    info = footage.scan()
    assert (info.fps, len(info.times), info.size) == (5.0, 12, (36, 64))
    greys = footage.read(range(12), (36, 64))[:, 34, 2, 0].astype(int)
    assert np.abs(greys - (20 + 2 * np.arange(12))).max() <= 2


def test_the_pickles_are_never_opened(bridge: Tree) -> None:
    root, _ = bridge
    examine(BridgeSource(root, cameras=("images0", "images1")))
    assert not list(root.rglob("opened"))


def test_a_folder_without_trajectories_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no BridgeData V2 trajectory"):
        list(BridgeSource(tmp_path).entries())
