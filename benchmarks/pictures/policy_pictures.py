"""Pictures of an experiment of benchmarks/quality/policy.py (with --films 3): policies at work, and demonstrations
as they see them.

    python benchmarks/pictures/policy_pictures.py --run policy --out docs/images/policy
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from mask2iv.contract import UInt8Array
from mask2iv.execution.cloning.collecting import TASKS
from mask2iv.execution.cloning.experiment import Arm, gathered, slug
from mask2iv.media.animations import write_animation
from mask2iv.media.videos import read_video

FRAMES, SCENES, SHOWN = 32, 3, (1, 3, 5, 7, 9, 11, 13, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    arms = [arm.name for arm in (Arm(options.k), Arm(options.k, 10 * options.k), Arm(10 * options.k))]
    for task in TASKS:
        names = [[f"{slug(task)}-{index:03d}-{arm}-0.mp4" for arm in arms] for index in range(SCENES)]
        rows = [np.concatenate([_small(options.run / "films" / name) for name in row], axis=2) for row in names]
        write_animation(options.out / f"{slug(task)}.webp", np.concatenate(rows, axis=1), 8.0)
    sheet = [
        np.concatenate(list(gathered(options.run, task, kind, 1)[0].views[list(SHOWN)]), axis=1)
        for task in TASKS
        for kind in ("true", "generated")
    ]
    picture = Image.fromarray(np.concatenate(sheet))
    picture.resize((picture.width * 3 // 2, picture.height * 3 // 2)).save(options.out / "views.jpg", quality=85)


def _small(path: Path) -> UInt8Array:
    """A film in FRAMES pictures of half the size, the last of which stays for a second."""
    video = read_video(path).frames
    chosen = video[np.linspace(0, len(video) - 1, FRAMES).round().astype(int)]
    small = np.stack([np.asarray(Image.fromarray(one).reduce(2)) for one in chosen])
    return np.concatenate([small, np.repeat(small[-1:], 8, axis=0)])


if __name__ == "__main__":
    main()
