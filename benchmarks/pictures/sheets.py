"""Contact sheets and counts for docs/benchmark-data.md.

python benchmarks/pictures/sheets.py sim-hoi --out docs/images
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from PIL import Image

from mask2iv.contract import Clip
from mask2iv.sim import Renderer, contact_sheet, simulate_clip
from mask2iv.sim.benchmark import BENCHMARKS, read_record

_SHOWN = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark", choices=tuple(BENCHMARKS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="test")
    args = parser.parse_args()
    benchmark = BENCHMARKS[args.benchmark]
    config, seed = benchmark.config(args.split), benchmark.series(args.split)
    renderer = Renderer(config.height, config.width)
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("actor", "action", "object", "room", "picture")}
    shown: list[Clip] = []
    for index, entry in enumerate(read_record(benchmark, args.split)):
        clip = simulate_clip(config, seed, index, renderer, entry.draw, pictures=False)[0]
        meta = clip.metadata
        counts["actor"][f"{clip.actor} {meta['side']}".strip()] += 1
        counts["action"][clip.verb] += 1
        counts["object"][clip.object_name] += 1
        counts["room"][meta["room"]["domain"]] += 1
        effects = ("occluder", meta["occluder"]), ("blur", meta["shutter"]), ("noise", meta["sensor_noise"])
        counts["picture"].update(name for name, there in effects if there)
        # Each clip shown brings an action or object not yet shown.
        new = (clip.actor, clip.verb) not in {(c.actor, c.verb) for c in shown}
        if len(shown) < _SHOWN and new and clip.object_name not in {c.object_name for c in shown}:
            shown.append(simulate_clip(config, seed, index, renderer, entry.draw)[0])
    for name, counter in counts.items():
        print(f"{name}: {', '.join(f'{key} {count}' for key, count in counter.most_common())}")
    sheet = Image.fromarray(contact_sheet(shown))
    path = args.out / f"{benchmark.name}.jpg"
    sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS).save(path, quality=68)
    print(f"{path}: {', '.join(clip.caption for clip in shown)}")


if __name__ == "__main__":
    main()
