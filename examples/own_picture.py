"""A picture of your own: mark the object with a box, say what happens, and get several videos to choose from.

    python examples/own_picture.py desk.jpg --box 120,80,60,90 --prompt "a hand picking up a cup" --out results

The mask that is found in the box is written too: look at it first when a result is odd.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mask2iv import Mask2IVPipeline, read_image, write_video
from mask2iv.media.filmstrip import filmstrip
from mask2iv.media.images import write_png
from mask2iv.segmentation.grabcut import GrabCut


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--box", required=True, help="X,Y,W,H of the object in pixels, from the upper left corner")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="embedded", help="embedded, or a model folder")
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--steps", type=int, help="sampling steps; default: the model's")
    given = parser.parse_args(arguments)

    image = read_image(given.picture)  # uint8 [H, W, 3]
    box = tuple(int(part) for part in given.box.split(","))
    object_mask = GrabCut()(image, box, "box")  # bool [H, W]
    given.out.mkdir(parents=True, exist_ok=True)
    write_png(given.out / "object_mask.png", object_mask)

    pipe = Mask2IVPipeline.from_pretrained(given.model)
    output = pipe(
        image,
        object_mask,
        given.prompt,
        num_videos_per_prompt=given.samples,
        num_inference_steps=given.steps,
        seed=0,
    )
    for index, (video, trajectory) in enumerate(zip(output.frames, output.trajectory, strict=True)):
        write_video(given.out / f"video-{index}.mp4", video, trajectory.fps)
    # One row per video, to choose by.
    rows = [(f"video-{index}.mp4", video) for index, video in enumerate(output.frames)]
    write_png(given.out / "all.png", filmstrip(rows))


if __name__ == "__main__":
    main()
