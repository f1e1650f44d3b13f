"""Whether the manipulated object is found, counted on simulated robot clips, whose masks are exact.

    python benchmarks/quality/selection.py --clips 100                # with perfect tracks of all things
    python benchmarks/quality/selection.py --clips 100 --fallback     # and with what moves, GrabCut and flow

With perfect tracks each thing on the table, the target and the arm is a track; a detector's phrases are the arm's alone
("named") or none ("wordless"). With the fallback the chosen track must overlap the target by half over the clip (IoU).
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace

import mujoco
import numpy as np

from mask2iv.contract import BoolArray, Clip, Label
from mask2iv.curation.selection import MOVING, OFFICIAL, ROBUST, check_gates, motion_score, select_object, to_labels
from mask2iv.segmentation.interfaces import Detection
from mask2iv.segmentation.pretrained import load_detector, load_video_segmenter
from mask2iv.sim import Renderer, SimConfig, simulate_clip

ARM = "robot gripper"
RULES = {
    "robust": ROBUST,
    "official, all pairs": OFFICIAL,
    "official, successive": replace(OFFICIAL, pairs="successive"),
}
_NEAR = 0.01
"""Static shapes nearer than this, in metres, are one thing: things keep two centimetres from each other."""


class Watching(Renderer):
    """A renderer that remembers which shape is seen at each pixel of each frame of the last clip."""

    def load(self, model: object) -> None:
        super().load(model)
        self.seen: list[np.ndarray] = []
        self.state: object = None

    def ids(self, data: object) -> np.ndarray:
        found = super().ids(data)
        self.seen.append(found)
        self.state = data
        return found

    def things(self) -> list[BoolArray]:
        """Tracks bool [T, H, W] of the things that stand on the table, apart from the target."""
        # The first and the last frame are filmed first.
        order = [0, *range(2, len(self.seen)), 1]
        ids = np.stack([self.seen[k] for k in order])
        model, data = self._model, self.state
        groups = [model.geom(i).name.rpartition("-")[0] for i in range(model.ngeom)]
        left = [i for i, group in enumerate(groups) if group in ("clutter", "receptacle")]
        tracks = []
        while left:
            thing, waiting = [], [left.pop(0)]
            while waiting:
                one = waiting.pop()
                thing.append(one)
                near = [i for i in left if mujoco.mj_geomDistance(model, data, one, i, 1.0, None) < _NEAR]
                left = [i for i in left if i not in near]
                waiting += near
            tracks.append(np.isin(ids, thing))
        return [track for track in tracks if track[0].sum() > 20]


def perfect(clip: Clip, others: list[BoolArray], named: bool) -> tuple[BoolArray, list[Detection]]:
    """All tracks, the target first and the arm last; every other detection is surer than that of the target."""
    tracks = np.stack([clip.trajectory.object, *others, clip.trajectory.actor])
    words = ["thing"] * (len(tracks) - 1) + [ARM] if named else [""] * len(tracks)
    scores = [0.5, *[0.6] * len(others), 0.7]
    return tracks, [Detection((0, 0, 1, 1), score, word) for score, word in zip(scores, words, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fallback", action="store_true")
    options = parser.parse_args()
    config = SimConfig(actor="robot", distractors=6)
    renderer = Watching(config.height, config.width)
    detector, segmenter = load_detector("motion"), load_video_segmenter("flow")
    right: Counter[str] = Counter()
    why: Counter[str] = Counter()
    gated: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    things, overlaps, scores = 0, [], []
    for index in range(options.clips):
        clip, _ = simulate_clip(config, options.seed, index, renderer, pictures=options.fallback)
        others = renderer.things()
        things += len(others)
        scores.append(motion_score(clip.trajectory.labels))
        gated.update(check_gates(clip.trajectory.labels) or ["good"])
        for name, rules in RULES.items():
            for named in (True, False):
                began = time.perf_counter()
                choice = select_object(*perfect(clip, others, named), [ARM], rules)
                kind = f"{name}, {'named' if named else 'wordless'}"
                spent["selection"] += time.perf_counter() - began
                right[kind] += choice.object == 0
                if choice.object != 0:
                    why[f"{kind}: {'another object' if choice.object is not None else choice.reason}"] += 1
        if not options.fallback:
            continue
        began = time.perf_counter()
        [found] = detector([clip.video], [[]])
        spent["detector"] += time.perf_counter() - began
        began = time.perf_counter()
        tracks = segmenter(clip.video, [one.box for one in found])
        spent["tracker"] += time.perf_counter() - began
        choice = select_object(tracks, found, [ARM], MOVING)
        labels = to_labels(tracks, choice) if len(tracks) else np.zeros_like(clip.trajectory.labels)
        mine, truth = labels == Label.OBJECT, clip.trajectory.object
        overlap = (mine & truth).sum() / max((mine | truth).sum(), 1)
        first = (mine[0] & truth[0]).sum() / max((mine[0] | truth[0]).sum(), 1)
        overlaps.append(overlap)
        right["fallback"] += overlap >= 0.5
        right["fallback, first frame"] += first >= 0.5
        if overlap < 0.5:
            why[f"fallback: {choice.reason if choice.object is None else 'another object or a bad mask'}"] += 1
    print(f"{options.clips} clips, seed {options.seed}, {things / options.clips:.1f} other things each on average")
    for name, count in right.items():
        print(f"{name}: {count} of {options.clips}")
    print("not right:", dict(why.most_common()))
    print("gates on true masks:", dict(gated.most_common()))
    print(f"motion score: {np.percentile(scores, [0, 5, 50, 100]).round(3).tolist()} (least, 5 %, middle, most)")
    if overlaps:
        print(f"fallback: mean IoU {np.mean(overlaps):.3f}, middle {np.median(overlaps):.3f}")
    print("seconds per clip:", {name: round(seconds / options.clips, 3) for name, seconds in spent.items()})


if __name__ == "__main__":
    main()
