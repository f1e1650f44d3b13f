"""``mask2iv curate``: a clip set of raw recordings.

Slow imports are made when the command runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mask2iv.contract import Fit
from mask2iv.curation.sources.options import SourceOptions

if TYPE_CHECKING:
    from mask2iv.curation.running.run import Curation
    from mask2iv.curation.running.settings import CurationConfig
    from mask2iv.curation.sources.interfaces import Habits

_SHOWN = 5


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Curate:
    """Make a clip set to train on of raw recordings: HOI4D, BridgeData V2, LeRobot, your own videos.

    Actions are cut out, the manipulated object is found where there are no masks, poor clips are left out, and the rest
    is divided into splits. The same command goes on with a run that was interrupted, and brings a finished set up to
    date: only recordings that are missing or have changed are worked on. Exit status 3: work on some recordings failed.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """The data set's folder, or a video."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the clip set; sheets/ and README.md in it show what came out."""
    size: Annotated[str, tyro.conf.arg(metavar="HxW")] = "160x256"
    """Picture size, HEIGHTxWIDTH in pixels: the model's (embedded: 160x256, DynamiCrafter-512: 320x512)."""
    frames: Annotated[int, tyro.conf.arg(metavar="N")] = 16
    """Frames of a clip: the model's."""
    fps: Annotated[float, tyro.conf.arg(metavar="RATE")] = 8.0
    """Frame rate of the clips."""
    take: Literal["whole", "start", "windows"] = "whole"
    """Which frames of an action, by their time stamps: spread over all of it; from its start at --fps; or as many clips
    at --fps as fit."""
    fit: Annotated[Fit | None, _optional("{crop,pad,stretch,centre}")] = None
    """How pictures get the size: crop (around what the masks show), pad, stretch, or centre (of --fit-scale). By
    default as the paper does with this data set; crop for your own videos."""
    fit_scale: Annotated[float | None, _optional("S")] = None
    """With --fit centre: the shorter side becomes S times the height."""
    min_frames: Annotated[int | None, _optional("N")] = None
    """Leave out actions of fewer source frames. By default as in the paper: HOI4D 12."""
    max_frames: Annotated[int | None, _optional("N")] = None
    """Leave out actions of more source frames. By default as in the paper: BridgeData V2 50."""
    motion_share: float = 0.05
    """Leave out this share of the clips: those in which least moves."""
    detector: Literal["motion", "grounding-dino"] = "motion"
    """Where there are no masks: what finds things in the first frame. Motion needs no weights, and is much worse."""
    detector_weights: Annotated[str | None, _optional("PLACE")] = None
    """Folder or hub name of the detector. By default the paper's."""
    segmenter: Literal["flow", "onnx", "sam2"] = "flow"
    """What segments and follows them: GrabCut and optical flow; a MobileSAM-format pair and optical flow; SAM 2."""
    segmenter_weights: Annotated[str | None, _optional("PLACE")] = None
    """Folder or hub name of the segmenter; of onnx the folder with its encoder and decoder."""
    rules: Literal["robust", "official"] = "robust"
    """How the manipulated object is chosen; official: by the original code's thresholds."""
    remake_masks: bool = False
    """Make masks even where the source has some."""
    device: str = "auto"
    """Where detector and segmenter run: auto, cpu, cuda."""
    validation: float = 0.05
    """Share of the recordings for validation, where no official list says."""
    test: float = 0.1
    """Share for test."""
    split_seed: int = 42
    """Seed of that draw."""
    limit: Annotated[int | None, _optional("N")] = None
    """Only the first N recordings."""
    prune: bool = False
    """Take out clips whose recordings are no longer in the source."""
    workers: int = 0
    """Processes, or Ray actors; 0 for one per core."""
    ray: Annotated[str | None, _optional("ADDRESS")] = None
    """Work on this Ray cluster ("auto", HOST:PORT), whose nodes see SOURCE at the same path; "local" for one started
    here."""
    options: Annotated[SourceOptions, tyro.conf.arg(name="source")] = field(default_factory=SourceOptions)

    def run(self) -> int:
        from mask2iv.curation.running.run import curate
        from mask2iv.curation.sources.recognise import open_source
        from mask2iv.generation.jobs.run import SOME_FAILED
        from mask2iv.scaling.choice import crew_of

        source = open_source(self.source, self.options)
        config = self._config(source.habits)
        crew = crew_of(self.workers, self.ray)
        begun = time.monotonic()
        result = curate(source, self.out, config, crew, self.limit, self.prune)
        self._report(result, time.monotonic() - begun)
        return SOME_FAILED if result.failures else 0

    def _config(self, habits: Habits) -> CurationConfig:
        """The settings, and for those not given the habits of the source."""
        from mask2iv.curation.running.settings import CurationConfig, FindingConfig
        from mask2iv.data.folder import FolderConfig
        from mask2iv.generation.values import parse_size

        fit = self.fit or habits.fit
        scale = self.fit_scale
        if scale is None and self.fit is None and fit == "centre":
            scale = habits.fit_scale
        return CurationConfig(
            cut=FolderConfig(
                size=parse_size(self.size),
                num_frames=self.frames,
                fps=self.fps,
                take=self.take,
                fit=fit,
                fit_scale=scale,
            ),
            min_frames=habits.min_frames if self.min_frames is None else self.min_frames,
            max_frames=habits.max_frames if self.max_frames is None else self.max_frames,
            motion_share=self.motion_share,
            finding=FindingConfig(
                detector=self.detector,
                detector_weights=self.detector_weights,
                segmenter=self.segmenter,
                segmenter_weights=self.segmenter_weights,
                rules=self.rules,
                device=self.device,
            ),
            remake_masks=self.remake_masks,
            validation=self.validation,
            test=self.test,
            split_seed=self.split_seed,
        )

    def _report(self, result: Curation, seconds: float) -> None:
        from mask2iv.curation.running.record import FAILURES

        print(f"{result.clips} clips in {self.out}; {result.new} recordings worked on in {seconds:.1f} s")
        reasons = Counter(reason for entry in result.left_out for reason in entry["reasons"])
        if reasons:
            print(f"left out: {', '.join(f'{count} {reason}' for reason, count in reasons.most_common())}")
            print(f"each with its details in {self.out / 'skipped.jsonl'}, pictures in {self.out / 'sheets'}")
        if result.failures:
            print(
                f"mask2iv: work failed on {len(result.failures)} recordings, see {self.out / FAILURES}", file=sys.stderr
            )
        for name, failure in list(result.failures.items())[:_SHOWN]:
            print(f"mask2iv: {name}: {failure.problem}", file=sys.stderr)
