"""Filmstrips of Meta-World: an expert's film, and the videos that models make from its first frame and caption.

mask2iv simulate --benchmark metaworld --split test --clips 1 --out data/mw-test
python benchmarks/pictures/metaworld_videos.py --data data/mw-test --models runs/mw runs/mw-video --out strips
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

from mask2iv import Mask2IVPipeline
from mask2iv.contract import UInt8Array
from mask2iv.data.store import ClipSet
from mask2iv.execution.metaworld.benchmark import GUIDANCE, STEPS
from mask2iv.media.filmstrip import filmstrip, overlay

COLUMNS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--clips", nargs="+", help="ids; default: every film from the start of an episode")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)

    clips = ClipSet(options.data)
    pipes = {Path(model).name: Mask2IVPipeline.from_pretrained(model) for model in options.models}
    options.out.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(clips.ids):
        if name not in options.clips if options.clips else not name.endswith("-0"):
            continue
        clip = clips[index]
        rows: list[tuple[str, UInt8Array]] = [(f"film of the expert: {clip.caption}", clip.video)]
        for model, pipe in pipes.items():
            made = pipe(
                clip.image,
                clip.object_mask,
                clip.caption,
                actor_mask=clip.trajectory.actor[0],
                seed=options.seed,
                guidance_scale=GUIDANCE,
                num_inference_steps=STEPS,
                progress=False,
            )
            [video], [trajectory] = made.frames, made.trajectory
            rows.append(
                (f"{model}: masks from the caption", overlay(clip.image[None].repeat(len(video), 0), trajectory.labels))
            )
            rows.append((f"{model}: video along them", video))
        Image.fromarray(filmstrip(rows, COLUMNS)).save(options.out / f"{name}.webp", quality=80)
        print(name)


if __name__ == "__main__":
    main()
