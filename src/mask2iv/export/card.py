"""The card of an exported data set: what it is, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mask2iv.data.lerobot import ACTION, CAMERA, MASKS, STATE
from mask2iv.export.clips import Exported

_MADE = {
    "all": "**Synthetic**: a simulator or a model made every clip. Nothing of it was recorded.",
    "some": "**Partly synthetic**: `synthetic` in meta/mask2iv.json says of each episode whether it was recorded.",
    "none": "Recorded clips.",
}


def card(info: Mapping[str, Any], made: str, clips: Sequence[Exported]) -> str:
    """``README.md`` of a LeRobot data set.

    Args:
        info: its ``info.json``.
        made: whether "all", "some" or "none" of the clips are synthetic.
        clips: the clips.
    """
    tags = ["LeRobot", "mask2iv", *(["synthetic"] if made != "none" else [])]
    head = ["---", "task_categories:", "- robotics", "tags:", *(f"- {tag}" for tag in tags)]
    head += ["configs:", "- config_name: default", "  data_files: data/*/*.parquet", "---"]
    height, width, _ = info["features"][CAMERA]["shape"]
    sources = {id(one.clips): one.clips.info["provenance"] for one in clips}
    text = [
        f"# {info['total_episodes']} interactions with masks",
        "",
        _MADE[made],
        "",
        f"{info['total_frames']} frames of {width}x{height} at {info['fps']} per second, {info['total_tasks']} tasks; "
        f"LeRobotDataset {info['codebase_version']}.",
        "",
        f"- `{CAMERA}`: the video",
        f"- `{MASKS}`: lossless pictures; background black, actor green, object red, second actor blue",
        *_moved(clips[0]),
        "- `meta/mask2iv.json`: of each episode the clip's name, verb, object, actor and split",
        "",
        "Provenance:",
        "",
        "```json",
        *(json.dumps(one, indent=1, ensure_ascii=False, sort_keys=True) for one in sources.values()),
        "```",
    ]
    return "\n".join([*head, "", *text, ""])


def _moved(first: Exported) -> list[str]:
    if first.motion is None:
        return []
    names, seconds = ", ".join(first.motion.names), first.motion.action_seconds
    return [
        f"- `{STATE}`: measured while an arm executed the clip in a physics simulation: {names}; radians, and metres "
        "between the jaws",
        f"- `{ACTION}`: the command that leads to the next frame, in the same order; a distance below 0 closes with "
        f"force. An action takes {seconds:g} s.",
        "- `meta/rejected.json`: clips that could not be executed within the arm's limits, and why",
    ]
