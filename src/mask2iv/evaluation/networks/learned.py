"""Measures by pretrained networks: LPIPS, I3D and Inception features, video-text similarity.

The weights of LPIPS come with this package; :mod:`mask2iv.evaluation.networks.weights` says how to get the others.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import AutoTokenizer, CLIPImageProcessorPil, XCLIPModel

from mask2iv.contract import UInt8Array
from mask2iv.data.dataset import select_frames
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.paper import Convention, central_square
from mask2iv.evaluation.networks.weights import Weights
from mask2iv.models.lpips import LPIPS, load_lpips

I3D_FRAMES, I3D_SIZE = 10, 224
"""Fewest frames that I3D takes, and the side to which it resizes."""

Features = NDArray[np.float32]


# --- LPIPS


def lpips_net(weights: Weights | None = None) -> LPIPS:
    """LPIPS with AlexNet: the weights that ship, or torchvision's AlexNet from a file with the shipped channel weights.

    Raises:
        InputError: a file is missing or damaged, or holds something else.
    """
    net = load_lpips()
    if weights is None:
        return net
    try:
        backbone = torch.load(weights.file, map_location="cpu", weights_only=True)
        net.features.load_state_dict(
            {k.removeprefix("features."): v for k, v in backbone.items() if k.startswith("features.")}
        )
    except (RuntimeError, OSError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        raise InputError("weights lpips", f"{weights.place} is not torchvision's AlexNet: {error}") from error
    return net


@torch.no_grad()
def lpips_of_video(net: LPIPS, predicted: UInt8Array, true: UInt8Array) -> float:
    """Mean LPIPS over the frames after the first, of videos uint8 [T, H, W, 3], at their own size."""
    device = net.shift.device
    return float(net(*(_pictures(video[1:]).to(device) for video in (predicted, true))).mean())


def _pictures(video: UInt8Array) -> torch.Tensor:
    """uint8 [T, H, W, 3] -> float [T, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(video)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


# --- features of distributions


class I3D:
    """Features of the I3D network, as TorchScript: its 400 logits, the protocol of FVD (Unterthiner et al., 2018).

    It takes all frames of a clip, including the first. The module itself resizes to 224x224 and scales to [-1, 1];
    by the paper's convention, it is given the middle square of the pictures instead (see :func:`central_square`).
    """

    def __init__(self, weights: Weights, device: torch.device, convention: Convention = "own") -> None:
        self.module = weights.torchscript().to(device)
        self.device, self.convention = device, convention

    @torch.no_grad()
    def features_of(self, videos: Sequence[UInt8Array]) -> Features:
        """[N, D] of videos uint8 [T, H, W, 3], T at least :data:`I3D_FRAMES`."""
        if min(len(video) for video in videos) < I3D_FRAMES:
            raise InputError("videos", f"FVD needs {I3D_FRAMES} frames or more, found {min(map(len, videos))}")
        batch = torch.from_numpy(np.stack(videos)).to(self.device).permute(0, 4, 1, 2, 3).float()
        whole = self.convention == "own"
        pixels = batch if whole else central_square(batch / 255, I3D_SIZE) * 2 - 1
        found: Features = self.module(pixels, rescale=whole, resize=whole, return_features=True).float().cpu().numpy()
        return found


class Inception:
    """Pooled features of Inception v3, as TorchScript: the protocol of FID (Heusel et al., 2017), frame by frame."""

    def __init__(self, weights: Weights, device: torch.device) -> None:
        self.module = weights.torchscript().to(device)
        self.device = device

    @torch.no_grad()
    def features_of(self, video: UInt8Array) -> Features:
        """[T-1, D] of the frames after the first."""
        frames = torch.from_numpy(np.ascontiguousarray(video[1:])).to(self.device).permute(0, 3, 1, 2)
        found: Features = self.module(frames, return_features=True).float().cpu().numpy()
        return found


# --- video and text


class VideoText:
    """Video-video and text-video similarity by X-CLIP (Ni et al., 2022), through transformers.

    The paper used ViCLIP, which is not part of transformers; figures by X-CLIP are not comparable with its. X-CLIP
    conditions the text on the video, so a text's embedding belongs to the video it is paired with.

    Args:
        place: folder or hub name of a model with tokenizer and image processor.
        device: where to compute.

    Raises:
        InputError: it cannot be loaded.
    """

    def __init__(self, place: str, device: torch.device) -> None:
        try:
            self.model: Any = XCLIPModel.from_pretrained(place, use_safetensors=True).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(place)
            self.processor = CLIPImageProcessorPil.from_pretrained(place)
        except (OSError, ValueError) as error:
            raise InputError(
                "weights video-text", f"{place} is not an X-CLIP model: {str(error).splitlines()[0]}"
            ) from error
        self.model.to(device)
        self.frames = self.model.config.vision_config.num_frames
        self.device = device

    @torch.no_grad()
    def embeddings(self, video: UInt8Array, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit vectors [D] of a video uint8 [T, H, W, 3], at evenly spread frames, and of a text paired with it."""
        frames = video[select_frames(len(video), self.frames)]
        pixels = self.processor(list(frames), return_tensors="pt")["pixel_values"].unsqueeze(0).to(self.device)
        tokens: Any = self.tokenizer(text, return_tensors="pt", truncation=True).to(self.device)
        found = self.model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
        return F.normalize(found.video_embeds[0], dim=-1), F.normalize(found.text_embeds[0, 0], dim=-1)

    def similarities(self, predicted: UInt8Array, true: UInt8Array, text: str) -> dict[str, float]:
        """Cosine similarities: ``v2v`` of both videos, ``t2v`` of the predicted one and the text."""
        video, words = self.embeddings(predicted, text)
        reference, _ = self.embeddings(true, text)
        return {"v2v": float(video @ reference), "t2v": float(video @ words)}
