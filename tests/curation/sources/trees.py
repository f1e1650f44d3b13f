"""Builders of miniature HOI4D and BridgeData V2 trees in their exact layouts, with every trap of the real ones.

Scenes are drawn so that answers are known: the grey of frame i tells i, the object is a block that moves to the right,
the right hand a block below it, the left hand one at the left edge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from mask2iv.contract import UInt8Array
from mask2iv.media.videos import write_video

HOI4D_FRAMES, HOI4D_FPS = 300, 15.0
BRIDGE_FPS = 5.0
SIZE = (36, 64)

Event = tuple[str, float, float]
"""Name, start and end in seconds of the video (of 20 s)."""
PICK_UP: tuple[Event, ...] = (
    ("rest", 0.0, 1.0),
    ("Reachout", 1.0, 2.0),
    ("Grasp", 2.0, 3.0),
    ("Pickup", 3.0, 6.0),
    ("carry", 6.0, 9.0),
    ("Putdown", 9.0, 10.0),
    ("Stop", 10.0, 20.0),
)
"""Kept are the grasp (frames 15 to 45, with its Reachout), the pick-up (45 to 90) and the put-down (135 to 150, which
becomes 135 to 151)."""


def grey_of(frame: int) -> int:
    """Grey of the background in a frame: 20 to 219."""
    return 20 + frame * 2 % 200


def object_box(frame: int, total: int, size: tuple[int, int] = SIZE) -> tuple[slice, slice]:
    """Rows and columns of the object in a frame."""
    height, width = size
    left = width // 8 + round((width // 2) * frame / max(1, total - 1))
    return slice(height // 3, height // 3 + height // 4), slice(left, left + width // 5)


def actor_box(frame: int, total: int, size: tuple[int, int] = SIZE) -> tuple[slice, slice]:
    """Rows and columns of the right hand, or of the gripper, in a frame."""
    rows, columns = object_box(frame, total, size)
    return slice(rows.stop, rows.stop + size[0] // 4), columns


def left_hand_box(size: tuple[int, int] = SIZE) -> tuple[slice, slice]:
    """Rows and columns of the left hand."""
    return slice(size[0] - 8, size[0]), slice(0, 6)


def scene_frame(frame: int, total: int, size: tuple[int, int] = SIZE) -> UInt8Array:
    """A picture, uint8 [H, W, 3]."""
    picture: UInt8Array = np.full((*size, 3), grey_of(frame), dtype=np.uint8)
    picture[object_box(frame, total, size)] = (200, 60, 40)
    picture[actor_box(frame, total, size)] = (230, 180, 150)
    return picture


# --- HOI4D


def voc_colour(number: int) -> tuple[int, int, int]:
    """The palette's colour of a number, as the data set's tools compute it."""
    red = green = blue = 0
    for shift in range(8):
        red |= (number & 1) << (7 - shift)
        green |= (number >> 1 & 1) << (7 - shift)
        blue |= (number >> 2 & 1) << (7 - shift)
        number >>= 3
    return red, green, blue


def hoi4d_mask(
    frame: int,
    parts: Sequence[int] = (1,),
    others: Sequence[int] = (),
    left_hand: int | None = None,
    size: tuple[int, int] = SIZE,
) -> UInt8Array:
    """A mask picture, uint8 [H, W, 3]: the object's parts side by side, the right hand (2), other things at the top."""
    numbers = np.zeros(size, dtype=np.uint8)
    rows, columns = object_box(frame, HOI4D_FRAMES, size)
    edges = np.linspace(columns.start, columns.stop, len(parts) + 1).round().astype(int)
    for part, start, stop in zip(parts, edges[:-1], edges[1:], strict=True):
        numbers[rows, start:stop] = part
    numbers[actor_box(frame, HOI4D_FRAMES, size)] = 2
    for index, other in enumerate(others):
        numbers[0:4, 8 * index : 8 * index + 6] = other
    if left_hand is not None:
        numbers[left_hand_box(size)] = left_hand
    return np.array([voc_colour(number) for number in range(256)], dtype=np.uint8)[numbers]


def write_hoi4d_sequence(
    root: Path,
    name: str,
    events: Sequence[Event] = PICK_UP,
    *,
    shape: Literal["events", "marks"] = "events",
    duration: float | None = 20.0,
    mask_folder: str = "mask",
    parts: Sequence[int] = (1,),
    others: Sequence[int] = (),
    left_hand: int | None = None,
    without_masks: Sequence[int] = (),
    mask_step: int = 1,
    frames: int = HOI4D_FRAMES,
    size: tuple[int, int] = SIZE,
) -> Path:
    """Writes one sequence.

    Args:
        root: of the data set.
        name: "ZY20210800001/H1/C2/N3/S4/s01/T1".
        events: in seconds of the 20 s video; written in the annotation's time, which lasts `duration`.
        shape: which of the two shapes ``color.json`` has.
        duration: that ``info`` states; None: it states none, and times are as they are in `events`.
        mask_folder: "mask" or "shift_mask"; "" for no masks.
        parts, others, left_hand: mask numbers that are seen.
        without_masks: frames whose mask picture is missing.
        mask_step: only every so many frames have a mask picture, to save time.
        frames: of the video.
        size: (H, W).

    Returns:
        The sequence's folder.
    """
    folder = root / name
    video = np.stack([scene_frame(frame, HOI4D_FRAMES, size) for frame in range(frames)])
    write_video(folder / "align_rgb" / "image.mp4", video, HOI4D_FPS)
    scale = 1.0 if duration is None else duration / 20.0
    keys = ("startTime", "endTime") if shape == "events" else ("hdTimeStart", "hdTimeEnd")
    rows = [
        {"id": number, "event": event, keys[0]: start * scale, keys[1]: stop * scale}
        for number, (event, start, stop) in enumerate(events)
    ]
    info = {} if duration is None else {"duration" if shape == "events" else "Duration": duration}
    content = {"info": info, "events": rows} if shape == "events" else {"info": info, "markResult": {"marks": rows}}
    (folder / "action").mkdir(parents=True)
    (folder / "action" / "color.json").write_text(json.dumps(content))
    if mask_folder:
        masks = folder / "2Dseg" / mask_folder
        masks.mkdir(parents=True)
        for frame in range(0, HOI4D_FRAMES, mask_step):
            if frame not in without_masks:
                Image.fromarray(hoi4d_mask(frame, parts, others, left_hand, size)).save(masks / f"{frame:05d}.png")
    return folder


def write_hoi4d(root: Path, mask_step: int = 1) -> Mapping[str, str]:
    """Writes a HOI4D tree with one sequence for each trap, and its ``testset.txt``.

    Args:
        root: the data set's folder.
        mask_step: see :func:`write_hoi4d_sequence`.

    Returns:
        Sequence names by what they are: "plain" (a mug), "marks" (the other shape of color.json, 10 s, shift_mask; a
        laptop of two parts), "no duration" (bottle), "both hands" (bucket), "ball" (of a bowl), "official test",
        "leaks" (the same scene as the test's, another camera and task), "left out category" (safe), "short" (an action
        of 0.5 s and an unknown one), "no masks", "missing masks" (frames 40 to 50), "strange colour", "damaged video",
        "damaged actions", "no actions", "no video".
    """
    names = {
        "plain": "ZY20210800001/H1/C2/N01/S10/s01/T1",
        "marks": "ZY20210800001/H1/C3/N02/S10/s01/T1",
        "no duration": "ZY20210800001/H1/C5/N03/S10/s01/T1",
        "both hands": "ZY20210800002/H2/C8/N04/S11/s02/T1",
        "ball": "ZY20210800002/H2/C7/N05/S11/s02/T4",
        "official test": "ZY20210800003/H3/C12/N06/S12/s03/T1",
        "leaks": "ZY20210800004/H3/C12/N06/S12/s03/T2",
        "left out category": "ZY20210800003/H3/C6/N07/S12/s03/T1",
        "short": "ZY20210800003/H3/C9/N08/S12/s03/T1",
        "no masks": "ZY20210800003/H3/C1/N09/S12/s03/T1",
        "missing masks": "ZY20210800003/H3/C1/N10/S12/s03/T1",
        "strange colour": "ZY20210800003/H3/C1/N11/S12/s03/T1",
        "damaged video": "ZY20210800003/H3/C1/N12/S12/s03/T1",
        "damaged actions": "ZY20210800003/H3/C1/N13/S12/s03/T1",
        "no actions": "ZY20210800003/H3/C1/N14/S12/s03/T1",
        "no video": "ZY20210800003/H3/C1/N15/S12/s03/T1",
    }

    def write(what: str, events: Sequence[Event] = PICK_UP, **options: object) -> Path:
        return write_hoi4d_sequence(root, names[what], events, mask_step=mask_step, **options)  # type: ignore[arg-type]

    write("plain", others=(3,))
    write("marks", shape="marks", duration=10.0, mask_folder="shift_mask", parts=(1, 3))
    write("no duration", duration=None)
    write("both hands", parts=(1, 3), others=(4, 5), left_hand=6)
    write("ball", parts=(3,), others=(1,))
    for what in ("official test", "leaks", "no actions", "no video", "damaged actions", "damaged video"):
        write(what)
    write("left out category", mask_folder="")
    write("short", (("Grasp", 1.0, 1.5), ("Frobnicate", 2.0, 4.0), ("Push", 5.0, 8.0)), parts=(1, 3))
    write("no masks", mask_folder="")
    write("missing masks", without_masks=range(40, 51))
    write("strange colour", parts=(7,))
    (root / names["no actions"] / "action" / "color.json").unlink()
    (root / names["no video"] / "align_rgb" / "image.mp4").unlink()
    (root / names["damaged actions"] / "action" / "color.json").write_text('{"info": {"duration": 20.0}, "events": [{')
    video = root / names["damaged video"] / "align_rgb" / "image.mp4"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    (root / "testset.txt").write_text(f"{names['official test']}\n{names['official test']}\n")
    return names


# --- BridgeData V2


def pickle_that_runs(marker: Path) -> bytes:
    """A pickle that makes the file `marker` when it is loaded."""
    return b"cbuiltins\nexec\n(V" + f"open({str(marker)!r}, 'w')".encode() + b"\ntR."


def write_bridge_trajectory(
    folder: Path,
    lang: str | None = "put the silver pot on the left burner\nconfidence: 0.9\n",
    *,
    frames: int = 12,
    cameras: Sequence[str] = ("images0",),
    without: Sequence[int] = (),
    damaged: Sequence[int] = (),
    size: tuple[int, int] = SIZE,
) -> Path:
    """Writes one trajectory; beside it lie pickles that write ``opened`` into the folder if anybody loads them.

    Args:
        folder: ".../raw/traj_group0/traj0".
        lang: content of ``lang.txt``; None for no such file.
        frames: of each camera.
        cameras: names of the picture folders.
        without: frames whose picture is missing.
        damaged: frames whose picture is cut in half.
        size: (H, W).

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for camera in cameras:
        (folder / camera).mkdir()
        for frame in range(frames):
            if frame in without:
                continue
            path = folder / camera / f"im_{frame}.jpg"
            Image.fromarray(scene_frame(frame, frames, size)).save(path, quality=95)
            if frame in damaged:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if lang is not None:
        (folder / "lang.txt").write_text(lang)
    for name in ("obs_dict.pkl", "policy_out.pkl", "agent_data.pkl"):
        (folder / name).write_bytes(pickle_that_runs(folder / "opened"))
    return folder


def write_bridge(root: Path) -> Mapping[str, str]:
    """Writes a BridgeData V2 tree with one trajectory for each trap.

    Returns:
        Names of the trajectories by what they are: "plain", "no confidence", "two cameras" (images0, images1, and depth
        pictures), "tenth" (traj10, after traj9 in order), "punctuated" (capitals, full stop, a second instruction),
        "no caption", "empty caption", "doubtful" (confidence 0.39), "bad confidence", "long" (51 frames), "gap" (frame
        5 is missing), "late" (frame 0 is missing), "damaged" (frame 7), "no pictures", "depth only".
    """
    day = "bridge_data_v2/datacol2_toykitchen7/many_skills/00/2023-03-15_13-35-31/raw/traj_group0"
    old = "bridge_data_v1/berkeley/toykitchen1/put_pot_on_stove/2021-06-03_10-00-00/raw/traj_group0"
    names = {
        "plain": f"{day}/traj0",
        "no confidence": f"{day}/traj1",
        "two cameras": f"{day}/traj2",
        "tenth": f"{day}/traj10",
        "punctuated": f"{day}/traj9",
        "no caption": f"{old}/traj0",
        "empty caption": f"{old}/traj1",
        "doubtful": f"{old}/traj2",
        "bad confidence": f"{old}/traj3",
        "long": f"{old}/traj4",
        "gap": f"{old}/traj5",
        "late": f"{old}/traj6",
        "damaged": f"{old}/traj7",
        "no pictures": f"{old}/traj8",
        "depth only": f"{old}/traj9",
    }

    def write(what: str, *arguments: str | None, **options: object) -> None:
        write_bridge_trajectory(root / names[what], *arguments, **options)  # type: ignore[arg-type]

    write("plain")
    write("no confidence", "open the drawer\n")
    write("two cameras", "fold the cloth from top right to bottom left\nconfidence: 0.40\n",
          cameras=("images0", "images1", "depth_images0"))  # fmt: skip
    write("tenth", "pick up the orange\n")
    write("punctuated", "Put the  Green cup in the sink.\nplace cup into sink\nconfidence: 1.0\n")
    write("no caption", None)
    write("empty caption", "\nconfidence: 0.8\n")
    write("doubtful", "move the carrot\nconfidence: 0.39\n")
    write("bad confidence", "move the carrot\nconfidence: high\n")
    write("long", frames=51)
    write("gap", without=(5,))
    write("late", without=(0,))
    write("damaged", damaged=(7,))
    write("no pictures", cameras=())
    write("depth only", cameras=("depth_images0",))
    return names
