"""What FVD-sim's network recognises, and how far known damages move a set of videos, as in docs/evaluation.md.

    python benchmarks/networks/check_features.py plain-test sim-hoi-test sim-robot-test --other plain-validation

Damages are done to the first set; ``--other`` are true clips of the same kind, for a distance between two true sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from mask2iv.contract import UInt8Array
from mask2iv.data.store import ClipSet
from mask2iv.evaluation.measures.frechet import frechet_figure
from mask2iv.evaluation.networks.features import QUESTIONS, SHIPPED, FeatureNet, load_feature_net
from mask2iv.evaluation.reports.report import cell

Damage = Callable[[UInt8Array, np.random.Generator], UInt8Array]


def noise(video: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    return np.clip(np.round(video + rng.normal(0.0, 10.0, video.shape)), 0, 255).astype(np.uint8)


def blur(sigma: float) -> Damage:
    return lambda video, rng: np.stack(
        [np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(sigma))) for frame in video]
    )


def half_way(video: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    return video[np.minimum(np.arange(len(video)), len(video) // 2)]


DAMAGES: dict[str, Damage] = {
    "noise of sigma 10": noise,
    "blur of sigma 1": blur(1.0),
    "blur of sigma 2": blur(2.0),
    "blur of sigma 4": blur(4.0),
    "played backwards": lambda video, rng: video[::-1],
    "frames shuffled": lambda video, rng: video[rng.permutation(len(video))],
    "stops half-way": half_way,
    "first frame repeated": lambda video, rng: np.repeat(video[:1], len(video), axis=0),
}


def accuracies(net: FeatureNet, clips: ClipSet, features: np.ndarray) -> list[float]:
    """Share of right answers to each of the questions."""
    answers = net.recognised(features)
    return [float(np.mean(np.array(answers[name]) == [row[name] for row in clips.rows])) for name in QUESTIONS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="clip sets that the network was not trained on")
    parser.add_argument("--other", type=Path, help="as many other true clips of the first set's kind")
    parser.add_argument("--network", type=Path, default=SHIPPED)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    net, sets = load_feature_net(args.network), [ClipSet(path) for path in args.data]
    found = [net.features_of([clip.video for clip in clips]) for clips in sets]
    for clips, features in zip(sets, found, strict=True):
        shares = [f"{share:.2f}" for share in accuracies(net, clips, features)]
        print(f"| {clips.directory.name}, {len(clips)} clips | {' | '.join(shares)} |")
    rng, true = np.random.default_rng(args.seed), found[0]
    damaged = {name: net.features_of([change(clip.video, rng) for clip in sets[0]]) for name, change in DAMAGES.items()}
    if args.other is not None:
        damaged["other true clips"] = net.features_of([clip.video for clip in ClipSet(args.other)])
    for name, features in damaged.items():
        figure = frechet_figure([x[None] for x in features], [x[None] for x in true])
        print(f"| {name} | {cell(figure.to_dict(), '{:.2f}'.format)} |")


if __name__ == "__main__":
    main()
