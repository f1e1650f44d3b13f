"""Record a split of a benchmark, after a change of the generator.

    python benchmarks/data/record.py sim-hoi test --clips 512

Clips that are on record already are kept (delete the file to begin anew); each new one is added as soon as it is made.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import mask2iv.sim
from mask2iv.sim import Renderer, simulate_clip
from mask2iv.sim.benchmark import BENCHMARKS, CLIPS, digest, read_record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark", choices=tuple(BENCHMARKS))
    parser.add_argument("split", choices=tuple(CLIPS))
    parser.add_argument("--clips", type=int, required=True)
    args = parser.parse_args()
    benchmark = BENCHMARKS[args.benchmark]
    config, known = benchmark.config(args.split), read_record(benchmark, args.split)
    path = Path(mask2iv.sim.__file__).parent / "benchmarks" / f"{benchmark.name}-{args.split}.txt"
    rejected: Counter[str] = Counter()
    renderer = Renderer(config.height, config.width)
    so_far = known[-1].digest if known else ""
    with path.open("a", encoding="utf-8") as file:
        for index in range(len(known), args.clips):
            clip, reasons = simulate_clip(config, benchmark.series(args.split), index, renderer, pictures=False)
            so_far = digest(so_far, vars(benchmark.named(clip, args.split)))
            rejected.update(reasons)
            print(clip.metadata["draw"], so_far, file=file, flush=True)
    print(f"{path}: {args.clips} clips; thrown away: {dict(rejected.most_common())}")


if __name__ == "__main__":
    main()
