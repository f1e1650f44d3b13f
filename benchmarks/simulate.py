"""How fast clips are made: python benchmarks/simulate.py --clips 40 --workers 2"""

from __future__ import annotations

import argparse
import time
from collections import Counter

from mask2iv.sim import SimConfig, simulate_clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--actor", choices=("hand", "robot", "both"), default="both")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    config = SimConfig(actor=args.actor)
    rejected: Counter[str] = Counter()
    verbs: Counter[str] = Counter()
    start = time.perf_counter()
    for clip, counts in simulate_clips(config, args.seed, range(args.clips), args.workers):
        rejected.update(counts)
        verbs[clip.verb] += 1
    seconds = time.perf_counter() - start
    size = f"{config.height} x {config.width} x {config.num_frames}"
    print(
        f"{args.clips} clips of {size} in {seconds:.1f} s: {args.clips / seconds:.2f} clips/s, {args.workers} workers"
    )
    print(f"actions: {dict(verbs.most_common())}")
    print(f"thrown away: {dict(rejected.most_common())}")


if __name__ == "__main__":
    main()
