"""Sources whose footage makes trouble; in a module, so that worker processes can import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mask2iv.contract import Label, UInt8Array
from mask2iv.curation.sources.interfaces import Habits, Problem, Recording, Segment
from mask2iv.data.captions import Description
from mask2iv.media.videos import VideoInfo

SIZE = (32, 48)


@dataclass(frozen=True)
class DrawnMasks:
    """An object that moves to the right by `step` pixels a frame below an actor that follows it."""

    step: int

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def read(self, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
        labels = np.zeros((len(indices), *size), dtype=np.uint8)
        for row, index in enumerate(indices):
            left = 4 + self.step * index
            labels[row, 10:18, left : left + 8] = Label.OBJECT
            labels[row, 18:28, left : left + 6] = Label.ACTOR
        return labels


@dataclass(frozen=True)
class DrawnFootage:
    """Grey pictures; where a file ``kill`` lies beside its own, reading kills the process, and ``kill-once`` is removed
    before; where ``defect`` lies there it raises."""

    file: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.file,)

    def scan(self, whole: bool = True) -> VideoInfo:
        return VideoInfo(np.arange(8) / 8.0, 8.0, SIZE, SIZE)

    def read(self, indices: Sequence[int], size: tuple[int, int], info: VideoInfo | None = None) -> UInt8Array:
        once = self.file.with_suffix(".kill-once")
        if once.exists() or self.file.with_suffix(".kill").exists():
            once.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.file.with_suffix(".defect").exists():
            raise ZeroDivisionError("a defect")
        grey = np.array([100 + 5 * index for index in indices], dtype=np.uint8)
        return np.broadcast_to(grey[:, None, None, None], (len(indices), *size, 3)).copy()


@dataclass(frozen=True)
class DrawnSource:
    """A recording for each ``NAME.txt`` of the folder, which holds the object's pixels a frame."""

    root: Path
    kind = "drawn"
    version = "1"
    habits = Habits("hand")

    def entries(self) -> Iterator[Recording | Problem]:
        for path in sorted(self.root.glob("*.txt")):
            said = Description("a hand pushing a cup", "pushing", "cup", "hand")
            segment = Segment("", said, masks=DrawnMasks(int(path.read_text())))
            yield Recording(path.stem, DrawnFootage(path), (segment,), path.stem)
