"""Animated pictures of what a model makes, of seeds that nobody chose.

    python benchmarks/pictures/gallery.py --out docs/images/gallery
    python benchmarks/pictures/gallery.py --out results/gallery --photographs ../shared/data/real --seeds 4

For each scene (a folder with image.png, object_mask.png, target_mask.png, by choice actor_mask.png, and its prompt in
prompt.txt or in prompts.json beside the folders) and each way to ask (by the prompt, by the target, by both): one
animated WebP with a tile per seed 0, 1, 2, ..., the video above the masks that it follows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mask2iv.contract import UInt8Array
from mask2iv.files import atomic_write
from mask2iv.media.images import read_image
from mask2iv.parsing import read_json
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.masks import load_mask

SAMPLES = Path(__file__).parents[2] / "src" / "mask2iv" / "samples"
WAYS = {"prompt": ("prompt",), "target": ("target_mask",), "both": ("prompt", "target_mask")}
HOLD = 4
"""The last frame is shown so many times longer."""


def scenes(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and inputs of each scene in a folder."""
    prompts = read_json(folder / "prompts.json") if (folder / "prompts.json").is_file() else {}
    for place in sorted(path.parent for path in folder.glob("*/image.png")):
        image = read_image(place / "image.png")
        given: dict[str, Any] = {"image": image}
        for name in ("object_mask", "target_mask", "actor_mask"):
            if (place / f"{name}.png").is_file():
                given[name] = load_mask(place / f"{name}.png", image.shape[:2], name)
        text = place / "prompt.txt"
        given["prompt"] = text.read_text().strip() if text.is_file() else _prompt(prompts, place.name)
        yield place.name, given


def _prompt(prompts: Any, name: str) -> str:
    if name not in prompts:
        raise SystemExit(f"{name} has no prompt.txt, and prompts.json none for it; write one")
    found = prompts[name]
    return str(found["prompt"] if isinstance(found, dict) else found)


def tiles(videos: list[UInt8Array], columns: int, gap: int = 4) -> UInt8Array:
    """Videos [T, h, w, 3] of one size as one, row by row, uint8 [T, H, W, 3]."""
    count, height, width = videos[0].shape[:3]
    rows = -(-len(videos) // columns)
    sheet = np.full((count, rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 24, np.uint8)
    for index, video in enumerate(videos):
        y, x = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[:, y : y + height, x : x + width] = video
    return sheet


def write_animation(path: Path, video: UInt8Array, fps: float, quality: int = 60) -> None:
    """An animated WebP that holds its last frame."""
    frames = [Image.fromarray(frame) for frame in video]
    times = [round(1000 / fps)] * (len(frames) - 1) + [round(1000 * HOLD / fps)]
    with atomic_write(path) as temporary:
        frames[0].save(
            temporary, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=quality
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--photographs", type=Path, default=SAMPLES, help="folder of scenes; default: the samples")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--columns", type=int, default=4)
    options = parser.parse_args()
    pipeline = Mask2IVPipeline.from_pretrained(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, scene in scenes(options.photographs):
        for way, told in WAYS.items():
            given = {key: value for key, value in scene.items() if key not in ("prompt", "target_mask") or key in told}
            output = pipeline(
                **given, num_videos_per_prompt=options.seeds, generator=list(range(options.seeds)), progress=False
            )
            pairs = [
                np.concatenate([frames, labels_to_rgb(path.labels)], axis=1)
                for frames, path in zip(output.frames, output.trajectory, strict=True)
            ]
            sheet = tiles(pairs, min(options.columns, len(pairs)))
            write_animation(options.out / f"{name}-{way}.webp", sheet, pipeline.config.fps)
            print(f"{name} by {way}: {len(pairs)} seeds")


if __name__ == "__main__":
    main()
