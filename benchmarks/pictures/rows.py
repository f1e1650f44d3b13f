"""The videos of a table's rows for one clip, below each other: a picture of a folder that mask2iv reproduce filled.

    python benchmarks/pictures/rows.py tables/sim-hoi table-systems --data sim-hoi-test --clip 3 --out systems-hoi.jpg

The outputs are those that were evaluated with the same ``--seed``: each clip's noise follows from its name. The clips
must have the model's size and length, and the rows the recipe's sampling steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

from mask2iv.data.store import ClipSet
from mask2iv.evaluation.per_clip.outputs import EvaluationConfig, ModelOutputs
from mask2iv.experiments.systems import as_asked, evaluation_name, load_system
from mask2iv.experiments.variants import TABLES
from mask2iv.media.filmstrip import filmstrip
from mask2iv.parsing import read_json
from mask2iv.trajectories.labels import labels_to_rgb

_QUALITY = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, help="--out of mask2iv reproduce")
    parser.add_argument("table", choices=tuple(TABLES))
    parser.add_argument("--data", type=Path, required=True, help="clip set that was evaluated on")
    parser.add_argument("--clip", type=int, default=0, help="index in the set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--out", type=Path, required=True, help="JPEG")
    args = parser.parse_args()
    torch.set_num_threads(1)
    trained = read_json(args.tables / f"{args.table}.json")["provenance"]["trained"]
    clip = ClipSet(args.data)[args.clip]
    strips = [(f"true video: {clip.caption}", clip.video), ("true masks", labels_to_rgb(clip.trajectory.labels))]
    for row in TABLES[args.table]:
        if not (args.tables / "evaluations" / evaluation_name(row) / "metrics.json").is_file():
            continue
        keys = {name: name + "-foreign" * row.foreign for name in row.variants}
        folders = {
            name: Path(trained.get(key, {}).get("path", args.tables / "models" / key)) for name, key in keys.items()
        }
        settings = as_asked(row, EvaluationConfig(seed=args.seed))
        source = ModelOutputs(load_system(folders, row, torch.device("cpu")), settings)
        [outputs] = source.outputs([clip])
        title = row.title.format(weight="the other foreground weight")
        strips += [
            (f"{title}, given {row.given}: masks", labels_to_rgb(of_seeds[0].labels))
            for asked, of_seeds in outputs.trajectories.items()
            if asked == row.asked
        ]
        strips += [(f"{title}, given {row.given}", of_seeds[0][0]) for of_seeds in outputs.videos.values()]
    picture = Image.fromarray(filmstrip(strips, args.columns))
    picture.save(args.out, quality=_QUALITY)


if __name__ == "__main__":
    main()
