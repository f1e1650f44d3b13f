"""Masks where a source has none: detect, segment, track, and choose the manipulated object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mask2iv.contract import Label, UInt8Array
from mask2iv.curation.running.settings import FindingConfig
from mask2iv.curation.selection import MOVING, OFFICIAL, ROBUST, Choice, select_object, to_labels
from mask2iv.curation.sources.interfaces import Habits
from mask2iv.devices import pick_device
from mask2iv.errors import InputError
from mask2iv.segmentation.motion import resegment
from mask2iv.segmentation.pretrained import load_detector, load_video_segmenter
from mask2iv.segmentation.prompts import Prompts


@dataclass(frozen=True)
class Found:
    """Masks of an action.

    Attributes:
        labels: uint8 [T, H, W].
        facts: how they came about: for the clip's provenance.
        problem: a short reason why there are none; "" where there are.
    """

    labels: UInt8Array
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


class Finder:
    """Makes masks by the configured detector and segmenter.

    Args:
        config: which ones, and by what rules they are judged.
        habits: of the source: what its actor is called.

    Raises:
        InputError: a model cannot be loaded.
    """

    def __init__(self, config: FindingConfig, habits: Habits) -> None:
        neural = config.detector == "grounding-dino" or config.segmenter == "sam2"
        device = pick_device(config.device) if neural else "cpu"
        self._habits = habits
        usual = MOVING if config.detector == "motion" else ROBUST
        self._rules = OFFICIAL if config.rules == "official" else usual
        self._detector = load_detector(config.detector, config.detector_weights, device)
        self._segmenter = load_video_segmenter(config.segmenter, config.segmenter_weights, device, threads=1)

    def __call__(self, video: UInt8Array, phrases: Sequence[str], prompts: Prompts | None = None) -> Found:
        """Masks of actor and object.

        Args:
            video: uint8 [T, H, W, 3], an action.
            phrases: what the object may be called.
            prompts: where they are in the first frame, which is asked of a detector otherwise.
        """
        return self._detected(video, phrases) if prompts is None else self._prompted(video, prompts)

    def _prompted(self, video: UInt8Array, prompts: Prompts) -> Found:
        tracks = self._segmenter(video, prompts.all)
        labels = to_labels(tracks, Choice(0, None if prompts.actor is None else 1, "given"))
        empty = [who for who, track in zip(("object", "actor"), tracks, strict=False) if not track[0].any()]
        if empty:
            return Found(labels, problem=f"{empty[0]} not found where it was said to be")
        said = " and ".join(dict.fromkeys("box" if len(prompt) == 4 else "point" for prompt in prompts.all))
        facts: dict[str, Any] = {"masks": f"given {said}, {self._segmenter.quality}", "chosen": "given"}
        return _with_late_actor(video, labels, facts) if prompts.actor is None else Found(labels, facts)

    def _detected(self, video: UInt8Array, phrases: Sequence[str]) -> Found:
        detector, segmenter = self._detector, self._segmenter
        actors = self._habits.actor_phrases
        [detections] = detector([video], [(*phrases, *actors)])
        empty = np.zeros(video.shape[:3], dtype=np.uint8)
        if not detections:
            return Found(empty, problem="nothing detected")
        try:
            tracks = segmenter(video, [detection.box for detection in detections])
        except InputError:
            return Found(empty, problem="nothing segmented")
        choice = select_object(tracks, detections, actors, self._rules, phrases)
        if choice.object is None:
            return Found(empty, problem=choice.reason)
        chosen = detections[choice.object]
        facts: dict[str, Any] = {
            "masks": f"{detector.quality}, {segmenter.quality}",
            "chosen": choice.reason,
            "detected": chosen.phrase,
            "detection_score": round(float(chosen.score), 4),
            "mean_mutual_iou": choice.scores[choice.object],
        }
        labels = to_labels(tracks, choice)
        return _with_late_actor(video, labels, facts) if choice.actor is None else Found(labels, facts)


def _with_late_actor(video: UInt8Array, labels: UInt8Array, facts: dict[str, Any]) -> Found:
    """Masks with an actor that comes into the picture later, where nothing of the first frame can tell of it."""
    if not (labels[0] == Label.OBJECT).any():
        return Found(labels, facts)
    late = resegment(video, labels[0]).actor & (labels == Label.BACKGROUND)
    labels[late] = Label.ACTOR
    return Found(labels, {**facts, "actor": "by motion, from a static camera"})
