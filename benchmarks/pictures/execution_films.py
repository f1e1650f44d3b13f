"""Two animations of executed captions, the first that succeeded and the first that failed: no one chose them.

    mask2iv execute --clips 100 --out success --plans text --films 24
    python benchmarks/pictures/execution_films.py success --out docs/images/execution

Of each scene the predicted masks are on the left, the execution on the right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.execution.measuring.journal import Journal
from mask2iv.media.animations import write_animation
from mask2iv.media.videos import read_video

FRAMES, TILE, COLUMNS = 36, (336, 105), 2
"""Length, (width, height) of a scene in pixels, and scenes side by side."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("success", type=Path, help="folder of mask2iv execute")
    parser.add_argument("--plan", default="text")
    parser.add_argument("--scenes", type=int, default=6, help="in each animation")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = sorted(Journal(options.success / f"{options.plan}.jsonl").rows(), key=lambda row: str(row["clip_id"]))
    for name, done in (("done", True), ("failed", False)):
        chosen = [row for row in rows if row["done"] == done][: options.scenes]
        tiles = [tile(options.success / "films" / f"{row['clip_id']}-{options.plan}.mp4") for row in chosen]
        lines = [np.concatenate(tiles[k : k + COLUMNS], axis=2) for k in range(0, len(tiles), COLUMNS)]
        write_animation(options.out / f"{name}.webp", np.concatenate(lines, axis=1), 8.0)
        print(name, ", ".join(f"{row['clip_id'][-3:]} {row['verb']} {row['object_name']}" for row in chosen))


def tile(path: Path) -> UInt8Array:
    """A film at one length and size, uint8 [FRAMES, h, w, 3]."""
    frames = read_video(path).frames
    chosen = frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
    return np.stack([cv2.resize(frame, TILE, interpolation=cv2.INTER_AREA) for frame in chosen])


if __name__ == "__main__":
    main()
