"""How recordings become clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mask2iv.curation.selection import Gates
from mask2iv.data.folder import FolderConfig
from mask2iv.errors import InputError


@dataclass(frozen=True)
class FindingConfig:
    """How masks are made where a source has none.

    Attributes:
        detector: "grounding-dino" asks for what the caption names; "motion" boxes what moves.
        detector_weights: folder or hub name of the detector.
        segmenter: "sam2" segments and tracks; "onnx" (a MobileSAM-format pair) and "flow" (GrabCut) segment the first
            frame, whose masks optical flow then carries on.
        segmenter_weights: folder or hub name.
        rules: how the manipulated object is chosen: "robust", or the "official" thresholds.
        frames: of a longer action so many frames are tracked, evenly spaced; those of the clip are among them.
        device: "auto", "cpu", "cuda".
    """

    detector: Literal["motion", "grounding-dino"] = "motion"
    detector_weights: str | None = None
    segmenter: Literal["flow", "onnx", "sam2"] = "flow"
    segmenter_weights: str | None = None
    rules: Literal["robust", "official"] = "robust"
    frames: int = 64
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise InputError("finding.frames", f"must be at least 2, found {self.frames}")


@dataclass(frozen=True)
class CurationConfig:
    """How recordings become clips.

    Attributes:
        cut: size, frames, frame rate, and which frames are taken (see there).
        min_frames, max_frames: of an action in the source; others are left out. None: any number.
        motion_share: this share of the clips is left out, those in which least moves (paper, section 4.1: 5 %).
        actor_motion_only: the motion score counts the actor's way only, as the original code does.
        gates: limits that the masks keep.
        finding: how masks are made where there are none.
        remake_masks: make them even where there are some.
        validation, test: shares of the groups of recordings that become these splits, where no official list says.
        split_seed: of that draw.

    Raises:
        InputError: a value out of range.
    """

    cut: FolderConfig = field(default_factory=FolderConfig)
    min_frames: int = 2
    max_frames: int | None = None
    motion_share: float = 0.05
    actor_motion_only: bool = False
    gates: Gates = field(default_factory=Gates)
    finding: FindingConfig = field(default_factory=FindingConfig)
    remake_masks: bool = False
    validation: float = 0.05
    test: float = 0.1
    split_seed: int = 42

    def __post_init__(self) -> None:
        if not 0 <= self.motion_share < 1:
            raise InputError("motion_share", f"must be from 0 to below 1, found {self.motion_share}")
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(name, f"must be a share from 0 to below 1, found {getattr(self, name)}")
        if self.validation + self.test >= 1:
            raise InputError("test", f"{self.test} and validation {self.validation} leave nothing to train on")
        if self.min_frames < 2 or (self.max_frames is not None and self.max_frames < self.min_frames):
            raise InputError("max_frames", f"must be {self.min_frames} or more, and min_frames 2 or more")
