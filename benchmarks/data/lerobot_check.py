"""Opens an exported data set with the lerobot package itself, in an environment of its own, and compares all of it.

    python benchmarks/data/lerobot_check.py CLIPS --python python3.12 --env /tmp/lerobot-env [--with-actions]

The package pins older libraries than ours and needs Python 3.12, so it is installed into a virtual environment of its
own (made where it is missing; a few GB). Of every episode, each frame's picture, masks, task, time and numbers are read
through ``LeRobotDataset`` there, and compared here with the clips that were exported.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mask2iv.curation.sources.interfaces import Recording
from mask2iv.curation.sources.lerobot import LeRobotSource
from mask2iv.errors import InputError
from mask2iv.export.clips import Exported, listed, opened
from mask2iv.export.lerobot import export_lerobot
from mask2iv.trajectories.labels import rgb_to_labels

LEAST_PSNR = 28.0

# Runs in the other environment: only what lerobot brings is there.
READER = """
import json, sys
from importlib import metadata
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
root, out = sys.argv[1:]
data = LeRobotDataset("local/check", root=root)
rows = [data[index] for index in range(len(data))]
camera, masks = "observation.images.main", "observation.masks"
def picture(value): return (value.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
np.savez(out, video=np.stack([picture(row[camera]) for row in rows]),
         masks=np.stack([picture(row[masks]) for row in rows]),
         **{name: np.array([row[name].item() for row in rows]) for name in
            ("timestamp", "frame_index", "episode_index", "index", "task_index")},
         **{name: np.stack([row[name].numpy() for row in rows]) for name in ("observation.state", "action")
            if name in data.features})
mean = data.meta.stats[camera]["mean"]
print(json.dumps({"lerobot": metadata.version("lerobot"), "torch": metadata.version("torch"),
                  "tasks": [row["task"] for row in rows], "fps": data.fps, "episodes": data.num_episodes,
                  "features": list(data.features), "mean_shape": list(np.shape(mean)), "backend": data._video_backend
                  if hasattr(data, "_video_backend") else None}))
"""

# Writes a data set as users of lerobot do: two cameras, one of them as pictures, two tasks within an episode.
WRITER = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
shape = {"shape": (96, 128, 3), "names": ["height", "width", "channels"]}
features = {"observation.images.top": {"dtype": "video", **shape},
            "observation.images.wrist": {"dtype": "image", **shape},
            "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]}}
data = LeRobotDataset.create("local/check", fps=10, features=features, root=sys.argv[1], use_videos=True)
for episode in range(3):
    for frame in range(8 + episode):
        picture = np.full((96, 128, 3), 40 * episode + 10 * frame, dtype=np.uint8)
        data.add_frame({"observation.images.top": picture, "observation.images.wrist": 255 - picture,
                        "action": np.zeros(2, dtype=np.float32),
                        "task": "open the drawer" if episode == 2 and frame < 4 else "put the cup in it"})
    data.save_episode()
data.finalize()
"""


def environment(folder: Path, python: str) -> Path:
    """The interpreter of an environment with lerobot."""
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    probe = subprocess.run([str(interpreter), "-c", "import lerobot, datasets"], capture_output=True)
    if probe.returncode:
        subprocess.run([str(interpreter), "-m", "pip", "install", "--quiet", "lerobot[dataset]"], check=True)
    return interpreter


def with_actions(clips: list[Exported]) -> list[Exported]:
    """Those that an arm executes within its limits, with what it does."""
    from mask2iv.execution.demonstrations.clips import executed

    return [one.clip for one in executed(clips) if one.clip.motion is not None]


def check(
    clips_folder: Path, interpreter: Path, codec: str, limit: int | None, actions: bool = False
) -> dict[str, object]:
    """What was found; raises AssertionError where it differs from the clips."""
    with opened(clips_folder) as sets, tempfile.TemporaryDirectory() as temporary:
        clips = listed(sets)[:limit]
        clips = with_actions(clips) if actions else clips
        root, out = Path(temporary) / "set", Path(temporary) / "read.npz"
        export_lerobot(clips, root, codec)  # type: ignore[arg-type]
        done = subprocess.run([str(interpreter), "-c", READER, str(root), str(out)], capture_output=True, text=True)
        if done.returncode:
            raise InputError("lerobot", f"cannot read the data set: {done.stderr[-2000:]}")
        said = json.loads(done.stdout.strip().splitlines()[-1])
        found = np.load(out)
        start, noise = 0, []
        for number, one in enumerate(clips):
            clip = one.read()
            part = slice(start, start + len(clip.video))
            start = part.stop
            assert (rgb_to_labels(found["masks"][part], (0, 1, 2, 3)) == clip.trajectory.labels).all(), clip.clip_id
            assert said["tasks"][part] == [clip.caption] * len(clip.video), clip.clip_id
            assert (found["episode_index"][part] == number).all()
            assert (found["frame_index"][part] == np.arange(len(clip.video))).all()
            np.testing.assert_allclose(found["timestamp"][part], np.arange(len(clip.video)) / clip.fps, atol=1e-6)
            if one.motion is not None:
                assert (found["observation.state"][part] == one.motion.states).all()
                assert (found["action"][part] == one.motion.actions).all()
            error = np.mean((found["video"][part].astype(float) - clip.video) ** 2, axis=(1, 2, 3))
            noise += [float(10 * np.log10(255**2 / max(one_error, 1e-9))) for one_error in error]
        assert start == len(found["index"])
        assert min(noise) > LEAST_PSNR, min(noise)
        info = json.loads((root / "meta/info.json").read_text())
        video = info["features"]["observation.images.main"]["info"]["video.codec"]
        tasks = len(set(said.pop("tasks")))
        return {**said, "codec": video, "tasks": tasks, "frames": start, "psnr": [min(noise), float(np.mean(noise))]}


def check_source(interpreter: Path) -> dict[str, object]:
    """Reads a data set that lerobot wrote; raises AssertionError where it differs from what was written."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "set"
        done = subprocess.run([str(interpreter), "-c", WRITER, str(root)], capture_output=True, text=True)
        if done.returncode:
            raise InputError("lerobot", f"cannot write a data set: {done.stderr[-2000:]}")
        worst = 0.0
        for camera in ("observation.images.top", "observation.images.wrist"):
            found = list(LeRobotSource(root, camera).entries())
            assert len(found) == 3
            for episode, recording in enumerate(found):
                assert isinstance(recording, Recording), recording
                info, count = recording.footage.scan(), 8 + episode
                assert (len(info.times), info.size, info.fps) == (count, (96, 128), 10.0)
                frames = [0, 3, count - 1]
                grey = np.array([40 * episode + 10 * frame for frame in frames])
                grey = grey if camera.endswith("top") else 255 - grey
                read = recording.footage.read(frames, info.size).astype(float)
                worst = max(worst, float(np.abs(read - grey[:, None, None, None]).max()))
                told = [(one.start, one.stop, one.description.caption) for one in recording.segments]
                two = [(0.0, 0.4, "open the drawer"), (0.4, 1.0, "put the cup in it")]
                assert told == (two if episode == 2 else [(0.0, None, "put the cup in it")]), told
        assert worst <= 6, worst
        return {"read": "a data set written by lerobot", "largest difference": worst}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--env", type=Path, default=Path("lerobot-env"))
    parser.add_argument("--python", default="python3.12")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--with-actions", action="store_true", help="compare states and actions, too")
    arguments = parser.parse_args()
    interpreter = environment(arguments.env.absolute(), arguments.python)
    print(json.dumps(check_source(interpreter)))
    for codec in ("auto", "h264"):
        print(json.dumps(check(arguments.clips, interpreter, codec, arguments.limit, arguments.with_actions)))


if __name__ == "__main__":
    sys.exit(main())
