"""Masks tracked through any video by SAM 2 (from transformers), from masks or boxes in the first frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array, is_actor
from mask2iv.errors import InputError
from mask2iv.segmentation import interfaces
from mask2iv.segmentation.motion import resegment

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Sam2:
    """The network, and what a video becomes for it."""

    def __init__(self, place: str, device: torch.device) -> None:
        try:
            self.model: Any = Sam2VideoModel.from_pretrained(place, use_safetensors=True).eval()
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError("weights sam2", f"{place} is not a SAM 2 video model: {reason}") from error
        self.model.to(device)
        self.device, self.side = device, int(self.model.config.image_size)

    def session(self, video: UInt8Array) -> Any:
        """A new session on a video, without prompts."""
        return Sam2VideoInferenceSession(
            self._pixels(video),
            video.shape[1],
            video.shape[2],
            inference_device=self.device,
            inference_state_device=self.device,
            video_storage_device=self.device,
            dtype=torch.float32,
        )

    def _pixels(self, video: UInt8Array) -> torch.Tensor:
        """The video as [T, 3, S, S], normalised as in SAM 2's training."""
        x = torch.from_numpy(np.ascontiguousarray(video)).permute(0, 3, 1, 2).float() / 255.0
        x = F.interpolate(x, (self.side, self.side), mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _DEVIATION))
        return (x - mean) / deviation

    def logits(self, session: Any) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Of each frame its number and logits [N, H, W], above 0 where a thing is; prompts are in frame 0."""
        size = session.video_height, session.video_width
        for step in self.model.propagate_in_video_iterator(session, start_frame_idx=0):
            found = F.interpolate(step.pred_masks.float(), size, mode="bilinear").squeeze(1).cpu().numpy()
            yield int(step.frame_idx), found


class Sam2Tracker(interfaces.Tracker):
    """SAM 2 (Ravi et al., 2024), prompted with the object's and the actor's mask in the first frame.

    An actor absent from the first frame cannot be prompted; :func:`~mask2iv.segmentation.motion.resegment` finds it.

    Args:
        place: folder or hub name of a SAM 2 video model in safetensors.
        device: where to run.

    Raises:
        InputError: the model cannot be loaded.
    """

    def __init__(self, place: str, device: torch.device) -> None:
        self._sam2 = _Sam2(place, device)

    @torch.inference_mode()
    def __call__(self, video: UInt8Array, first: UInt8Array, fps: float = 8.0) -> Trajectory:
        side = self._sam2.side
        masks = {Label.OBJECT: first == Label.OBJECT, Label.ACTOR: is_actor(first)}
        masks = {label: mask for label, mask in masks.items() if mask.any()}
        if Label.OBJECT not in masks:
            raise InputError("first", "must show the object, found none")
        session = self._sam2.session(video)
        for label, mask in masks.items():
            prompt = torch.from_numpy(mask)[None, None].float()
            prompt = F.interpolate(prompt, (side, side), mode="bilinear", antialias=True) >= 0.5
            session.add_mask_inputs(session.obj_id_to_idx(int(label)), 0, prompt.float())
        session.obj_with_new_inputs = [int(label) for label in masks]
        labels = np.zeros(video.shape[:3], dtype=np.uint8)
        if Label.ACTOR not in masks:
            labels[resegment(video, first, fps).actor] = Label.ACTOR
        for frame, logits in self._sam2.logits(session):
            best = logits.argmax(axis=0)
            for index, label in enumerate(masks):
                labels[frame][(best == index) & (logits[index] > 0)] = label
        labels[0] = np.where(first == Label.SECOND_ACTOR, np.uint8(Label.ACTOR), first)
        return Trajectory(labels, fps)


class Sam2Segmenter(interfaces.VideoSegmenter):
    """SAM 2, prompted with boxes in the first frame, as the paper prompts it for BridgeData V2, or with points.

    Args:
        place: folder or hub name of a SAM 2 video model in safetensors.
        device: where to run.

    Raises:
        InputError: the model cannot be loaded.
    """

    quality = "sam2"

    def __init__(self, place: str, device: torch.device) -> None:
        self._sam2 = _Sam2(place, device)

    @torch.inference_mode()
    def __call__(self, video: UInt8Array, prompts: Sequence[interfaces.Prompt]) -> BoolArray:
        height, width = video.shape[1:3]
        tracks = np.zeros((len(prompts), *video.shape[:3]), dtype=np.bool_)
        if not prompts:
            return tracks
        session = self._sam2.session(video)
        scale = torch.tensor([self._sam2.side / width, self._sam2.side / height])
        for number, prompt in enumerate(prompts):
            x, y, *extent = interfaces.within_picture(prompt, height, width)
            # The labels 2 and 3 are a box's corners, 1 is a point on the thing.
            points, kinds = ([[x, y], [x + extent[0], y + extent[1]]], [2, 3]) if extent else ([[x, y]], [1])
            said = {
                "point_coords": (torch.tensor(points) * scale)[None, None],
                "point_labels": torch.tensor([[kinds]], dtype=torch.int32),
            }
            session.add_point_inputs(session.obj_id_to_idx(number), 0, said)
        session.obj_with_new_inputs = list(range(len(prompts)))
        for frame, logits in self._sam2.logits(session):
            tracks[:, frame] = logits > 0
        return tracks
