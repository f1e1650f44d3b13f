"""Back ends by name. What needs PyTorch is imported only where it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mask2iv.errors import InputError
from mask2iv.segmentation.flow import FlowSegmenter
from mask2iv.segmentation.grabcut import GrabCut
from mask2iv.segmentation.interfaces import Detector, Segmenter, VideoSegmenter
from mask2iv.segmentation.moving import MotionDetector

if TYPE_CHECKING:
    import torch

SegmenterName = Literal["grabcut", "onnx"]
VideoSegmenterName = Literal["flow", "onnx", "sam2"]
DetectorName = Literal["motion", "grounding-dino"]
_SAM2, _DINO = "facebook/sam2.1-hiera-large", "IDEA-Research/grounding-dino-base"


def load_segmenter(
    name: SegmenterName, weights: Path | None = None, field: str = "segmenter", threads: int = 0
) -> Segmenter:
    """What finds an object in a box or under a point.

    Args:
        name: "grabcut", or "onnx": a MobileSAM-format pair.
        weights: folder of the pair, see :func:`mask2iv.segmentation.onnx.find_pair`.
        field: what errors call the name; its weights are FIELD_weights.
        threads: of the pair; 0 for as many as there are cores.

    Raises:
        InputError: an unknown name, weights missing or not asked for, or that cannot be used.
    """
    _check(name, get_args(SegmenterName), field)
    if name == "grabcut":
        _no_weights(name, weights, field)
        return GrabCut()
    from mask2iv.segmentation.onnx import OnnxSegmenter

    return OnnxSegmenter.from_folder(_pair(weights, field), f"{field}_weights", threads)


def load_video_segmenter(
    name: VideoSegmenterName,
    weights: Path | str | None = None,
    device: torch.device | str = "cpu",
    field: str = "segmenter",
    threads: int = 0,
) -> VideoSegmenter:
    """What follows things through a video.

    Args:
        name: "flow": GrabCut and optical flow; "onnx": a MobileSAM-format pair and optical flow; "sam2".
        weights: of onnx the pair's folder; of sam2 a folder or hub name, by default the paper's model.
        device: where SAM 2 runs.
        field: as for :func:`load_segmenter`.
        threads: of the ONNX pair; 0 for as many as there are cores.

    Raises:
        InputError: as :func:`load_segmenter`.
    """
    _check(name, get_args(VideoSegmenterName), field)
    if name == "flow":
        _no_weights(name, weights, field)
        return FlowSegmenter(GrabCut())
    if name == "onnx":
        return FlowSegmenter(load_segmenter("onnx", _pair(weights, field), field, threads))
    import torch

    from mask2iv.segmentation.sam2 import Sam2Segmenter

    return Sam2Segmenter(str(weights or _SAM2), torch.device(device))


def load_detector(
    name: DetectorName,
    weights: Path | str | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 4,
    field: str = "detector",
) -> Detector:
    """What finds things in the first frame of a video.

    Args:
        name: "motion", or "grounding-dino".
        weights: of grounding-dino a folder or hub name, by default the paper's model.
        device: where it runs.
        batch_size: pictures that go through it together.
        field: as for :func:`load_segmenter`.

    Raises:
        InputError: as :func:`load_segmenter`.
    """
    _check(name, get_args(DetectorName), field)
    if name == "motion":
        _no_weights(name, weights, field)
        return MotionDetector()
    import torch

    from mask2iv.segmentation.grounding import GroundingDino

    return GroundingDino(str(weights or _DINO), torch.device(device), batch_size=batch_size)


def weight_files(name: VideoSegmenterName | DetectorName, weights: Path | str | None = None) -> list[Path]:
    """Files of a back end's weights, as far as they are on this machine: those of the hub once they were loaded.

    Args:
        name, weights: as for :func:`load_video_segmenter` and :func:`load_detector`.

    Raises:
        InputError: no such pair.
    """
    if name in ("motion", "flow"):
        return []
    if name == "onnx":
        from mask2iv.segmentation.onnx import find_pair

        return list(find_pair(_pair(weights, "segmenter")))
    place = Path(weights or (_SAM2 if name == "sam2" else _DINO))
    if not place.is_dir():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError

        try:
            place = Path(snapshot_download(str(place), local_files_only=True))
        except (OSError, ValueError, HfHubHTTPError):
            return []
    return sorted(place.glob("*.safetensors"))


def _check(name: str, known: tuple[str, ...], field: str) -> None:
    if name not in known:
        raise InputError(field, f"must be {', '.join(known[:-1])} or {known[-1]}, found {name!r}")


def _no_weights(name: str, weights: object, field: str) -> None:
    if weights is not None:
        raise InputError(f"{field}_weights", f"{name} has no weights", f"leave them out or choose another {field}")


def _pair(weights: Path | str | None, field: str) -> Path:
    if weights is None:
        problem = "onnx needs the folder of a MobileSAM-format pair (encoder.onnx, decoder.onnx)"
        raise InputError(f"{field}_weights", problem, "give it, or choose another")
    return Path(weights)
