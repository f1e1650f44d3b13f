"""How fast recordings become clips, without detectors, segmenters and trackers.

    python benchmarks/speed/curation.py steps               processor time of each step, per recording
    python benchmarks/speed/curation.py crews               1 and 2 processes, and 2 Ray actors
    python benchmarks/speed/curation.py memory --clips 10000

Recordings are made as large as the data sets' own: HOI4D's 300 frames of 1920x1080 with a mask picture each, BridgeData
V2's 36 JPEG pictures of 640x480. Their content is a photograph that shakes a little, with noise.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from mask2iv.contract import Clip, Label, Trajectory, UInt8Array
from mask2iv.curation.running.ledger import digest_of
from mask2iv.curation.running.run import curate
from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.selection import check_gates, motion_score
from mask2iv.curation.sources.footage import frames_between
from mask2iv.curation.sources.interfaces import GivenMasks, Habits, Problem, Recording, Segment, Source
from mask2iv.curation.sources.recognise import open_source
from mask2iv.data.captions import Description
from mask2iv.data.folder import FolderConfig, choose_frames
from mask2iv.data.store import write_clip_files
from mask2iv.media.fitting import fit_clip, reduced_size
from mask2iv.media.images import read_image
from mask2iv.media.videos import VideoInfo, write_video
from mask2iv.scaling.interfaces import Crew
from mask2iv.scaling.processes import ProcessCrew

PICTURE = Path(__file__).parents[2] / "src/mask2iv/samples/cup/image.png"
EVENTS = (("Reachout", 1.0, 3.0), ("Grasp", 3.0, 5.0), ("Pickup", 5.0, 9.0), ("Putdown", 12.0, 16.0))
SIZE = (320, 512)
"""Of the clips: the paper's."""
RELEASED = {"HOI4D": 3000, "BridgeData V2": 60_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("steps", "crews", "memory"))
    parser.add_argument("--recordings", type=int, default=6, help="of each data set (6)")
    parser.add_argument("--clips", type=int, default=10_000, help="for memory (10000)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.what == "memory":
            print(json.dumps(memory(folder, args.clips), indent=2))
            return
        sources = {
            "HOI4D": hoi4d(folder / "hoi4d", args.recordings),
            "BridgeData V2": bridge(folder / "bridge", args.recordings),
        }
        for name, source in sources.items():
            result = steps(source) if args.what == "steps" else crews(source, folder / "sets")
            if args.what == "steps":
                hours = RELEASED[name] * result["all"] / 3600
                result["core-hours of all that was released"] = round(hours, 1)
            print(name, json.dumps(result, indent=2))


# --- recordings as large as real ones


def pictures(count: int, size: tuple[int, int]) -> Iterator[UInt8Array]:
    """A photograph that shakes a little, with noise."""
    random = np.random.default_rng(0)
    height, width = size
    large = np.asarray(Image.fromarray(read_image(PICTURE)).resize((width + 32, height + 32), Image.Resampling.BICUBIC))
    noise = random.normal(0, 2.0, (height, width, 3))
    for index in range(count):
        top, left = (16 + round(8 * float(np.sin(0.07 * index + phase))) for phase in (0.0, 1.0))
        frame = large[top : top + height, left : left + width] + np.roll(noise, 37 * index, axis=1)
        yield np.clip(frame, 0, 255).astype(np.uint8)


def hoi4d(root: Path, count: int) -> Source:
    """Sequences with four actions each, of which three are kept."""
    first = root / "ZY20210800001/H1/C2/N01/S10/s01/T1"
    size = (1080, 1920)
    write_video(first / "align_rgb" / "image.mp4", np.stack(list(pictures(300, size))), 15.0, crf=17)
    bits = 8 * (first / "align_rgb" / "image.mp4").stat().st_size / 20
    print(f"HOI4D's videos have {bits / 1e6:.1f} Mbit/s")
    (first / "action").mkdir()
    events = [{"event": event, "startTime": start, "endTime": stop} for event, start, stop in EVENTS]
    (first / "action" / "color.json").write_text(json.dumps({"info": {"duration": 20.0}, "events": events}))
    masks = first / "2Dseg" / "mask"
    masks.mkdir(parents=True)
    for index in range(300):
        mask = np.zeros((*size, 3), dtype=np.uint8)
        mask[500:800, 400 + 3 * index : 700 + 3 * index] = (128, 0, 0)
        mask[750:, 450 + 3 * index : 650 + 3 * index] = (0, 128, 0)
        Image.fromarray(mask).save(masks / f"{index:05d}.png")
    for number in range(2, count + 1):
        shutil.copytree(first, root / f"ZY20210800001/H1/C2/N{number:02d}/S10/s01/T1")
    return open_source(root)


@dataclass(frozen=True)
class Drawn(GivenMasks):
    """An object that moves to the right, and an actor below it."""

    def read(self, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
        labels = np.zeros((len(indices), *size), dtype=np.uint8)
        height, width = size
        for row, index in enumerate(indices):
            left = width // 8 + index * width // (2 * len(info.times))
            labels[row, height // 3 : 2 * height // 3, left : left + width // 6] = Label.OBJECT
            labels[row, 2 * height // 3 :, left : left + width // 8] = Label.ACTOR
        return labels


@dataclass(frozen=True)
class WithMasks:
    """A source whose recordings get drawn masks, in place of those that networks would find."""

    inner: Source
    kind = "bridge"
    version = ""

    @property
    def root(self) -> Path:
        return self.inner.root

    @property
    def habits(self) -> Habits:
        return self.inner.habits

    def entries(self) -> Iterator[Recording | Problem]:
        for entry in self.inner.entries():
            if isinstance(entry, Recording):
                entry = replace(entry, segments=tuple(replace(one, masks=Drawn()) for one in entry.segments))
            yield entry


def bridge(root: Path, count: int) -> Source:
    """Trajectories of 36 pictures."""
    day = root / "bridge_data_v2/lab/task/00/2023-03-15_13-35-31/raw/traj_group0"
    (day / "traj0/images0").mkdir(parents=True)
    (day / "traj0/lang.txt").write_text("put the pot on the burner\nconfidence: 0.9\n")
    for index, picture in enumerate(pictures(36, (480, 640))):
        Image.fromarray(picture).save(day / f"traj0/images0/im_{index}.jpg", quality=90)
    for number in range(1, count):
        shutil.copytree(day / "traj0", day / f"traj{number}")
    return WithMasks(open_source(root))


def config_of(source: Source) -> CurationConfig:
    habits = source.habits
    cut = FolderConfig(SIZE, 16, 8.0, fit=habits.fit, fit_scale=habits.fit_scale if habits.fit == "centre" else None)
    return CurationConfig(cut=cut, motion_share=0.0, max_frames=habits.max_frames, min_frames=habits.min_frames)


# --- measurements


def steps(source: Source) -> dict[str, float]:
    """Seconds of processor time of each step, per recording; of all its clips together."""
    config = config_of(source)
    cut, spent = config.cut, Counter[str]()

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        before = time.process_time()
        yield
        spent[name] += time.process_time() - before

    with timed("list"):
        recordings = [one for one in source.entries() if isinstance(one, Recording)]
    clips = 0
    for recording in recordings:
        with timed("hash"):
            digest_of(recording.footage.files)
        with timed("time stamps"):
            info = recording.footage.scan(whole=False)
        parts = []
        for segment in recording.segments:
            inside = frames_between(info, segment.start, segment.stop)
            [frames] = choose_frames(info.times[inside] - info.times[inside[0]], info.fps, cut)
            parts.append((segment, [int(inside[index]) for index in frames]))
        needed = sorted({index for _, frames in parts for index in frames})
        size = reduced_size(info.size, cut.size, cut.fit, cut.fit_scale or 1.0)
        with timed("decode and resize"):
            video = recording.footage.read(needed, size, info)
        for segment, frames in parts:
            rows = np.searchsorted(needed, frames)
            with timed("read masks"):
                labels = segment.masks.read(frames, info, size)
            with timed("crop"):
                fitted = fit_clip(video[rows], labels, cut.size, cut.fit, cut.fit_scale or 1.0, info.size)
            with timed("gates and motion"):
                check_gates(fitted[1])
                motion_score(fitted[1])
            clip = Clip("a", fitted[0], Trajectory(fitted[1], 8.0), "c", "v", "o", "hand")
            with tempfile.TemporaryDirectory() as folder, timed("encode"):
                write_clip_files(Path(folder), clip)
            clips += 1
    result = {name: round(seconds / len(recordings), 4) for name, seconds in spent.items()}
    return {**result, "all": round(spent.total() / len(recordings), 3), "clips": clips / len(recordings)}


def crews(source: Source, folder: Path) -> dict[str, float]:
    """Seconds of whole runs; starting of processes included."""
    made: dict[str, Callable[[], Crew]] = {"1 process": lambda: ProcessCrew(1), "2 processes": lambda: ProcessCrew(2)}
    made["2 Ray actors"] = _ray
    seconds = {}
    for name, make in made.items():
        begun = time.perf_counter()
        curate(source, folder / name, config_of(source), make())
        seconds[name] = round(time.perf_counter() - begun, 2)
    shutil.rmtree(folder)
    return seconds


def _ray() -> Crew:
    from mask2iv.scaling.ray import RayCrew

    return RayCrew("local", 2)


@dataclass(frozen=True)
class TinyFootage:
    """Eight grey pictures."""

    file: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.file,)

    def scan(self, whole: bool = True) -> VideoInfo:
        return VideoInfo(np.arange(8) / 8.0, 8.0, (32, 48), (32, 48))

    def read(self, indices: Sequence[int], size: tuple[int, int], info: VideoInfo | None = None) -> UInt8Array:
        return np.full((len(indices), *size, 3), 100, dtype=np.uint8)


@dataclass(frozen=True)
class TinySource:
    """Any number of recordings; every 1000th tells how much memory the run holds."""

    root: Path
    count: int
    kind = "tiny"
    version = ""
    habits = Habits("hand")

    def entries(self) -> Iterator[Recording | Problem]:
        said = Description("a hand pushing a cup", "pushing", "cup", "hand")
        for number in range(self.count):
            if number % 1000 == 0:
                print(f"{number}: {_resident():.0f} MB", flush=True)
            yield Recording(f"{number:06d}", TinyFootage(self.root), (Segment("", said, masks=Drawn()),), f"{number}")


def _resident() -> float:
    """MB of memory that this process holds."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def memory(folder: Path, clips: int) -> dict[str, float]:
    """MB held by the parent process at its end, and at most by a worker."""
    file = folder / "recording"
    file.write_bytes(b"0")
    config = CurationConfig(cut=FolderConfig((32, 48), 4, 8.0), motion_share=0.05)
    begun = time.perf_counter()
    curate(TinySource(file, clips), folder / "set", config, ProcessCrew(2))
    seconds = time.perf_counter() - begun
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"clips": clips, "seconds": round(seconds, 1), "parent, MB": round(_resident()), "worker, MB": round(worker)}


if __name__ == "__main__":
    main()
