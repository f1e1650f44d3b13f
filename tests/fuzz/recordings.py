"""Raw recordings and shards for the commands that read them: BridgeData V2, HOI4D, LeRobot, masks of all forms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import alone
import numpy as np

from mask2iv.contract import Clip, Label
from mask2iv.media.videos import write_video
from mask2iv.trajectories.runlength import rle_encode

_SEQUENCE = "ZY20210800001/H1/C2/N01/S10/s01/T1"
_EVENTS = (("Reachout", 1.0, 2.0), ("Grasp", 2.0, 3.0), ("Pickup", 3.0, 4.0))
_FRAMES = 64
CURATED = ["--frames", "4", "--motion-share", "0"]


def build(root: Path, clips: Sequence[Clip], call: Callable[..., None], load: Callable[[Path], ModuleType]) -> None:
    """Fill a folder.

    Args:
        root: the folder, which is the working directory.
        clips: some.
        call: runs a command line.
        load: loads a file of the tests as a module.
    """
    tests = Path(__file__).parents[1]
    makers = tests / "curation" / "sources"
    trees, lerobot = load(makers / "trees.py"), load(makers / "lerobot_sets.py")
    for number in range(3):
        place = root / f"bridge/toys/push/00/2023/raw/traj_group0/traj{number}"
        trees.write_bridge_trajectory(place, frames=8 + number)
    folder = trees.write_hoi4d_sequence(root / "hoi4d", _SEQUENCE, _EVENTS, frames=_FRAMES)
    for path in sorted((folder / "2Dseg" / "mask").iterdir())[_FRAMES:]:
        path.unlink()
    (root / "hoi4d" / "testset.txt").write_text(f"{_SEQUENCE}\n")
    lerobot.write_second(root / "lerobot-second")
    lerobot.write_third(root / "lerobot-third")
    call("export", "lerobot", "clips", "--out", "lerobot")
    call("export", "webdataset", "clips", "--out", "shards", "--shard-size", "60KB")
    _masks(root, clips, call, load(tests / "segmentation" / "onnx_pair.py"))
    for name, more in (("curated-half", ["--limit", "2"]), ("curated", [])):
        assert alone.run(["curate", "bridge", "--out", name, "--size", "36x64", *CURATED, *more]) == 0


def _masks(root: Path, clips: Sequence[Clip], call: Callable[..., None], networks: ModuleType) -> None:
    """Videos, each with masks of another form; and a pair of networks that would make some."""
    folder = root / "masked"
    folder.mkdir()
    lines = ["clip,caption,verb,object,actor"]
    for form in ("arrays", "coco", "davis", "sam2"):
        call("export", "masks", "clips", "--out", f"masks-{form}", "--to", form, "--limit", "1")
        made = sorted(Path(f"masks-{form}").iterdir())
        assert len(made) == 1
        made[0].rename(folder / f"{form}_masks{made[0].suffix}")
        shutil.rmtree(f"masks-{form}")
    labels = clips[0].trajectory.labels
    np.save(folder / "whole_masks.npy", labels)
    np.savez_compressed(folder / "parts_masks.npz", actor=labels == Label.ACTOR, object=labels == Label.OBJECT)
    (folder / "counts_masks.json").write_text(json.dumps(_counts(labels)))
    for form in ("arrays", "coco", "davis", "sam2", "whole", "parts", "counts"):
        write_video(folder / f"{form}.mp4", clips[0].video, 8.0)
        lines.append(f"{form},{clips[0].caption},pushing,box,hand")
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    networks.write_pair(root / "networks")


def _counts(labels: Any) -> dict[str, Any]:
    """COCO annotations by image with run lengths as numbers."""
    found = [
        {"image_id": frame, "track_id": int(label), "segmentation": rle_encode(labels[frame] == label)}
        for frame in range(len(labels))
        for label in (Label.ACTOR, Label.OBJECT)
    ]
    return {"images": [{"id": frame} for frame in range(len(labels))], "annotations": found}


def make_tables(folder: Path) -> None:
    """Small tables that expand to gigabytes: ``many-NAME.parquet`` in place of a LeRobot data set's table NAME."""
    import pyarrow as arrow
    from pyarrow import parquet

    count = 10**6
    zeros, text = (
        np.zeros(count, dtype=np.int64),
        arrow.DictionaryArray.from_arrays(
            arrow.array(np.zeros(count, dtype=np.int32)), arrow.array(["pick up the cup " * 2**16])
        ),
    )
    numbers = dict.fromkeys(("episode_index", "frame_index", "task_index", "index", "length", "start"), zeros)
    places = ("data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index")
    columns = {
        "tasks": {**numbers, "task": text, "__index_level_0__": text},
        "episodes": {**numbers, **dict.fromkeys(places, zeros)},
        "data": {**numbers, "observation.images.wrist": text.cast(arrow.dictionary(arrow.int32(), arrow.binary()))},
    }
    columns["episodes"]["tasks"] = arrow.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32), text)
    for name, values in columns.items():
        table = arrow.table(values)
        with parquet.ParquetWriter(folder / f"many-{name}.parquet", table.schema) as writer:
            for _ in range(8):
                writer.write_table(table, row_group_size=count)
