"""Whether directions from text hold on photographs, counted.

    python benchmarks/quality/directions.py ../shared/data/real

Each scene (a folder with image.png and object_mask.png; its actor and the last noun of its prompt from prompts.json
beside the folders) is asked for four directions by "pushing" and "moving" with the seeds 0 to 3.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mask2iv.contract import Label
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.measures import centroids
from mask2iv.trajectories.scoring.movement import goes

DIRECTIONS = {"to the left": "left", "to the right": "right", "forward": "up", "backward": "down"}
ACTORS = {"hand": "a hand", "robot": "a robot arm"}
VERBS, SEEDS = ("pushing", "moving"), 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--objects", default="bridge_can=can,rt1_coke=can,cups=cup", help="what to call each object")
    options = parser.parse_args()
    named = dict(pair.split("=") for pair in options.objects.split(","))
    pipe = Mask2IVPipeline.from_pretrained("embedded")
    print("| photograph |", " | ".join(DIRECTIONS), "| all | actor in frame 0, pixels | actor from frame 1, % |")
    print("|---|" + "---:|" * (len(DIRECTIONS) + 3))
    for name, told in json.loads((options.folder / "prompts.json").read_text()).items():
        image, mask = (options.folder / name / f"{part}.png" for part in ("image", "object_mask"))
        counts, first, rest = [], [], []
        for words, movement in DIRECTIONS.items():
            right = 0
            for verb in VERBS:
                prompt = f"{ACTORS[told['actor']]} {verb} a {named[name]} {words}"
                made = pipe.trajectory(image, mask, prompt, seed=0, num_videos_per_prompt=SEEDS, progress=False)
                for trajectory in made:
                    right += goes(trajectory, movement)
                    actor = (trajectory.labels == Label.ACTOR).mean(axis=(1, 2))
                    first.append(actor[0] * trajectory.labels[0].size)
                    rest.append(actor[1:].mean())
                    way = np.diff(centroids(trajectory, Label.OBJECT)[[0, -1]], axis=0)[0]
                    print(f"<!-- {name}, {prompt}: {way[1]:+.0f} right, {way[0]:+.0f} down -->")
            counts.append(right)
        total = len(VERBS) * SEEDS
        cells = [f"{count} of {total}" for count in counts]
        cells += [f"{sum(counts)} of {total * len(DIRECTIONS)}", f"{max(first):.0f}"]
        print(f"| {name} |", " | ".join(cells), f"| {100 * min(rest):.0f} to {100 * max(rest):.0f} |", flush=True)


if __name__ == "__main__":
    main()
