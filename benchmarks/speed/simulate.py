"""How fast clips are made: python benchmarks/speed/simulate.py --clips 40 --workers 2"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter

from mask2iv.generation.values import parse_size
from mask2iv.scaling.choice import crew_of
from mask2iv.sim import SimConfig, simulate_clips
from mask2iv.sim.benchmark import BENCHMARKS
from mask2iv.sim.choreography.actions import ACTOR_MIXES

_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", help="address of a Ray cluster, or local")
    parser.add_argument("--size", default="160x256", help="HEIGHTxWIDTH")
    parser.add_argument("--actor", choices=tuple(ACTOR_MIXES), default="both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--benchmark", choices=tuple(BENCHMARKS), help="clips like its training split's")
    args = parser.parse_args()
    height, width = parse_size(args.size)
    config = SimConfig(height=height, width=width, actor=args.actor)
    if args.benchmark:
        config = BENCHMARKS[args.benchmark].config("train", height, width)
    start = time.perf_counter()
    crew = None if args.workers == 1 and args.ray is None else crew_of(args.workers, args.ray)
    rejected: Counter[str] = Counter()
    verbs: Counter[str] = Counter()
    for clip, counts in simulate_clips(config, args.seed, range(args.clips), crew):
        rejected.update(counts)
        verbs[clip.verb] += 1
    seconds = time.perf_counter() - start
    spent = sum(getattr(resource.getrusage(who), name) for who in _WHO for name in ("ru_utime", "ru_stime"))
    size = f"{config.height} x {config.width} x {config.num_frames}"
    print(
        f"{args.clips} clips of {size} in {seconds:.1f} s: {args.clips / seconds:.2f} clips/s, {args.workers} workers"
    )
    print(f"{spent / args.clips:.2f} s of processor time per clip, starting included")
    print(f"actions: {dict(verbs.most_common())}")
    print(f"thrown away: {dict(rejected.most_common())}")


if __name__ == "__main__":
    main()
