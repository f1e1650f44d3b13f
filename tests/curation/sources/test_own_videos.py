"""Folders of videos, single videos and clip sets as sources, and which of all sources a path is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mask2iv.contract import Label
from mask2iv.curation.sources.folder import Defaults, FolderSource, VideoSource
from mask2iv.curation.sources.interfaces import Problem, Recording
from mask2iv.curation.sources.recognise import open_source, recognise
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.media.videos import write_video
from mask2iv.segmentation.prompts import Prompts

Tree = tuple[Path, Mapping[str, str]]


@pytest.fixture
def folder(trees: ModuleType, tmp_path: Path) -> Path:
    """Two videos, the first with masks; no captions."""
    video = np.stack([trees.scene_frame(frame, 10) for frame in range(10)])
    labels = np.zeros(video.shape[:3], dtype=np.uint8)
    for frame in range(10):
        labels[frame][trees.object_box(frame, 10)] = Label.OBJECT
        labels[frame][trees.actor_box(frame, 10)] = Label.ACTOR
    root = tmp_path / "videos"
    write_video(root / "a.mp4", video, 10.0)
    write_video(root / "b.mp4", video, 10.0)
    np.savez(root / "a_labels.npz", labels=labels)
    return root


def test_videos_without_captions_are_not_given_any_silently(folder: Path) -> None:
    entries = list(FolderSource(folder).entries())
    assert [(entry.name, getattr(entry, "reason", None)) for entry in entries] == [
        ("a.mp4", "no caption"), ("b.mp4", "no caption")
    ]  # fmt: skip


def test_captions_masks_and_phrases_of_a_folder(folder: Path, trees: ModuleType) -> None:
    (folder / "captions.csv").write_text(
        "clip,caption,verb,object,actor\na,a hand pushing a red mug,pushing,red mug,hand\nc,a hand,,,\n"
    )
    first, second, third = FolderSource(folder).entries()
    assert isinstance(first, Recording)
    [segment] = first.segments
    assert (segment.description.caption, segment.phrases) == ("a hand pushing a red mug", ("red mug",))
    assert segment.masks is not None
    [labels] = segment.masks.read([4], first.footage.scan(), trees.SIZE)
    assert (labels[trees.object_box(4, 10)] == Label.OBJECT).all()
    assert (labels == Label.ACTOR).sum() > 0
    assert isinstance(second, Problem)
    assert (second.name, second.reason) == ("b.mp4", "no caption")
    assert isinstance(third, Problem)
    assert (third.name, third.reason) == ("c", "video missing")


def test_boxes_and_points_of_a_folder(folder: Path) -> None:
    (folder / "captions.csv").write_text(
        "clip,caption,object_box,actor_point\n"
        'a,a hand pushing a mug,"3,4,10.5,8",20 30\n'
        "b,,1 2 3,\n"
    )  # fmt: skip
    first, second = FolderSource(folder).entries()
    assert isinstance(first, Recording)
    assert first.segments[0].prompts == Prompts((3, 4, 10.5, 8), (20, 30))
    assert isinstance(second, Problem)
    assert second.reason == "caption unreadable"
    assert second.details == "object_box: expected X,Y,W,H in pixels, found '1 2 3'"
    # A row may say no more than where things are.
    (folder / "captions.csv").write_text("clip,object_point\na,5 6\n")
    defaults = Defaults(caption="a hand pushing a mug")
    first, second = FolderSource(folder, defaults).entries()
    assert isinstance(first, Recording)
    assert isinstance(second, Recording)
    assert (first.segments[0].prompts, second.segments[0].prompts) == (Prompts((5, 6)), None)
    assert first.segments[0].description.caption == "a hand pushing a mug"
    video = open_source(folder / "b.mp4", caption="a hand pushing a mug", object_box="1,2,3,4")
    [recording] = video.entries()
    assert isinstance(recording, Recording)
    assert recording.segments[0].prompts == Prompts((1, 2, 3, 4))
    with pytest.raises(InputError, match="object_box: says nothing of a source of kind folder"):
        open_source(folder, object_box="1,2,3,4")


def test_one_caption_or_object_may_be_given_for_all_videos(folder: Path) -> None:
    for source in (
        FolderSource(folder, Defaults(caption="a robot arm moving a green can", actor="robot")),
        VideoSource(folder / "b.mp4", Defaults(caption="a robot arm moving a green can", actor="robot")),
    ):
        recording = list(source.entries())[-1]
        assert isinstance(recording, Recording)
        [segment] = recording.segments
        assert segment.description.object_name == "green can"
        assert (segment.description.verb, segment.description.actor) == ("moving", "robot")
        assert (segment.phrases, segment.masks) == (("green can",), None)
        assert source.habits.actor_phrases == ("robot gripper", "robot arm")
    [recording] = VideoSource(folder / "b.mp4", Defaults(object_phrase="red mug")).entries()
    assert isinstance(recording, Recording)
    assert recording.segments[0].description.caption == ""
    assert recording.segments[0].phrases == ("red mug",)
    [problem] = VideoSource(folder / "b.mp4").entries()
    assert isinstance(problem, Problem)


def test_a_clip_set_is_a_source_whose_masks_are_given(tiny_clips: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_clips, tmp_path / "sets" / "test")
    (tmp_path / "sets" / "test" / "clips" / "clip-3" / "labels.npz").unlink()
    entries = list(open_source(tmp_path / "sets").entries())
    assert [entry.name for entry in entries] == [f"test/clip-{number}" for number in range(6)]
    assert [entry.name for entry in entries if isinstance(entry, Problem)] == ["test/clip-3"]
    first, clip = entries[0], ClipSet(tiny_clips)[0]
    assert isinstance(first, Recording)
    [segment] = first.segments
    assert (segment.split, segment.description.caption) == ("test", clip.caption)
    assert segment.masks is not None
    info = first.footage.scan()
    assert (segment.masks.read([1, 3], info, info.size) == clip.trajectory.labels[[1, 3]]).all()
    assert [entry.segments[0].split for entry in open_source(tiny_clips).entries() if isinstance(entry, Recording)] == [
        None
    ] * 6


def test_sources_are_recognised_by_their_files(
    hoi4d: Tree, bridge: Tree, tiny_clips: Path, folder: Path, tmp_path: Path
) -> None:
    assert recognise(hoi4d[0]) == "hoi4d"
    assert recognise(hoi4d[0] / "ZY20210800001" / "H1") == "hoi4d"
    assert recognise(bridge[0]) == "bridge"
    assert recognise(bridge[0] / bridge[1]["plain"]) == "bridge"
    assert recognise(tiny_clips) == "clipset"
    assert recognise(folder) == "folder"
    assert recognise(folder / "a.mp4") == "video"
    (tmp_path / "robot" / "meta").mkdir(parents=True)
    (tmp_path / "robot" / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v3.0"}))
    assert recognise(tmp_path / "robot") == "lerobot"
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(InputError, match="empty is no data set that is known"):
        recognise(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"notes\.txt is no video"):
        open_source(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="absent does not exist"):
        open_source(tmp_path / "absent")


def test_the_kind_may_be_said_and_options_of_other_kinds_are_refused(bridge: Tree, folder: Path) -> None:
    assert open_source(bridge[0], kind="folder").kind == "folder"
    assert open_source(bridge[0], cameras=("images1",)).kind == "bridge"
    with pytest.raises(InputError, match="cameras: says nothing of a source of kind folder"):
        open_source(folder, cameras=("images1",))
    with pytest.raises(InputError, match="caption: says nothing of a source of kind bridge"):
        open_source(bridge[0], caption="a hand")
    with pytest.raises(InputError, match="actor_index: must be given together"):
        open_source(folder, actor_index=1)
