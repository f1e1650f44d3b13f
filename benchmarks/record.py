"""Record a split of a benchmark, after a change of the generator: python benchmarks/record.py sim-hoi test --clips 512

Clips that are on record already are kept (delete the file to begin anew); each new one is added as soon as it is made.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import mask2iv.sim
from mask2iv.sim.benchmark import BENCHMARKS, CLIPS, benchmark_clips, read_record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark", choices=tuple(BENCHMARKS))
    parser.add_argument("split", choices=tuple(CLIPS))
    parser.add_argument("--clips", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    benchmark = BENCHMARKS[args.benchmark]
    known = read_record(benchmark, args.split)
    path = Path(mask2iv.sim.__file__).parent / "benchmarks" / f"{benchmark.name}-{args.split}.txt"
    rejected: Counter[str] = Counter()
    with path.open("a", encoding="utf-8") as file:
        made = benchmark_clips(benchmark, args.split, args.clips, (160, 256), args.workers, known)
        for index, (clip, reasons, digest) in enumerate(made):
            rejected.update(reasons)
            if index >= len(known):
                print(clip.metadata["draw"], digest, file=file, flush=True)
    print(f"{path}: {args.clips} clips; thrown away: {dict(rejected.most_common())}")


if __name__ == "__main__":
    main()
