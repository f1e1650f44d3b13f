"""A small video network that recognises action, object and actor on simulation: the features of FVD-sim.

It was trained on simulated clips by ``benchmarks/networks/train_features.py``, so its distances mean something on
simulated clips only. They are never called FVD: that name belongs to I3D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mask2iv import config as configs
from mask2iv.contract import UInt8Array
from mask2iv.data.dataset import select_frames
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, sha256_file, write_json
from mask2iv.media.images import resize_image

SHIPPED = Path(__file__).parents[2] / "weights" / "fvd-sim"
QUESTIONS = ("verb", "object_name", "actor")
"""What the network classifies: fields of :class:`~mask2iv.contract.Clip`."""
_MAX_SIZE = 4096
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class FeatureConfig:
    """The feature network.

    Attributes:
        verb, object_name, actor: the classes of each question, in the order of its logits.
        frames: T of its input, spread evenly over the clip.
        height, width: of its input.
        channels: of its four levels; each halves the resolution, all but the first convolve over time.
        features: D, features per clip.
    """

    verb: tuple[str, ...]
    object_name: tuple[str, ...]
    actor: tuple[str, ...]
    frames: int = 8
    height: int = 80
    width: int = 128
    channels: tuple[int, ...] = (16, 32, 64, 128)
    features: int = 64

    def __post_init__(self) -> None:
        sizes = (self.frames, self.height, self.width, self.features, *self.channels)
        if not all(1 <= size <= _MAX_SIZE for size in sizes) or len(self.channels) != 4:
            raise InputError("FeatureConfig", f"sizes must be 1 to {_MAX_SIZE}, with four channels, found {sizes}")

    def classes(self, question: str) -> tuple[str, ...]:
        """The classes of one of :data:`QUESTIONS`."""
        found: tuple[str, ...] = getattr(self, question)
        return found


@dataclass(frozen=True)
class _Card:
    """``config.json``, as far as it is read."""

    network: FeatureConfig


class _Level(nn.Module):
    """Halves the resolution, then convolves over neighbouring frames."""

    def __init__(self, inputs: int, outputs: int, through_time: bool) -> None:
        super().__init__()
        side = 3 if through_time else 5
        self.space = nn.Conv3d(inputs, outputs, (1, side, side), (1, 2, 2), (0, side // 2, side // 2), bias=False)
        self.norm = nn.BatchNorm3d(outputs)
        self.time = nn.Conv3d(outputs, outputs, (3, 1, 1), 1, (1, 0, 0)) if through_time else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.space(x)))
        return x if self.time is None else x + torch.relu(self.time(x))


class FeatureNet(nn.Module):
    """Clips to features [B, D], and features to class logits.

    Args:
        config: sizes and classes.
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        widths = (3, *config.channels)
        self.levels = nn.Sequential(*(_Level(a, b, i > 0) for i, (a, b) in enumerate(pairwise(widths))))
        self.project = nn.Linear(2 * widths[-1], config.features)
        self.heads = nn.ModuleDict({name: nn.Linear(config.features, len(config.classes(name))) for name in QUESTIONS})

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """Video [B, 3, T, H, W] in [-1, 1], of the configured size -> features [B, D]."""
        x = self.levels(video).flatten(3)
        return self.project(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=3).mean(dim=2)], dim=1))

    def logits(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits [B, classes] of each of :data:`QUESTIONS`."""
        return {name: head(features) for name, head in self.heads.items()}

    def recognised(self, features: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> dict[str, list[str]]:
        """The likeliest class for each of :data:`QUESTIONS`, of features float32 [N, D]: N names each."""
        logits = self.logits(torch.from_numpy(features).to(self.project.weight.device))
        return {name: [self.config.classes(name)[i] for i in of.argmax(dim=1).tolist()] for name, of in logits.items()}

    def prepare(self, video: UInt8Array) -> UInt8Array:
        """Frames of a video uint8 [T, H, W, 3] at the configured number and size.

        Raises:
            InputError: the video has fewer frames than configured.
        """
        frames = select_frames(len(video), self.config.frames)
        return resize_image(video[frames], (self.config.height, self.config.width))

    @torch.no_grad()
    def features_of(self, videos: list[UInt8Array]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Features float32 [N, D] of videos uint8 [T, H, W, 3]."""
        pixels = np.stack([self.prepare(video) for video in videos])
        device = self.project.weight.device
        batch = torch.from_numpy(pixels).to(device).permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
        found: np.ndarray[tuple[int, int], np.dtype[np.float32]] = self(batch).float().cpu().numpy()
        return found


def save_feature_net(net: FeatureNet, folder: Path, card: Mapping[str, object]) -> None:
    """Write ``config.json`` (sizes, classes, and `card` on training and accuracy) and float16 weights."""
    with atomic_directory(folder, overwrite=True) as target:
        halves = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
        save_file({name: value.contiguous() for name, value in halves.items()}, target / _WEIGHTS)
        write_json(target / _CONFIG, {"network": configs.to_dict(net.config), "training": dict(card)})


def load_feature_net(folder: Path = SHIPPED) -> FeatureNet:
    """The network in a folder, by default the one that ships, in float32 and evaluation mode.

    Raises:
        InputError: a file is missing or damaged, or the weights do not fit.
    """
    net = FeatureNet(configs.read_config(folder / _CONFIG, _Card, "ignore").network)
    try:
        net.load_state_dict(
            {
                name: value.float() if value.is_floating_point() else value
                for name, value in load_file(folder / _WEIGHTS).items()
            }
        )
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(str(folder), f"the feature network cannot be read: {error}") from error
    return net.eval().requires_grad_(False)


def feature_net_digest(folder: Path = SHIPPED) -> str:
    """SHA-256 of its weights file."""
    return sha256_file(folder / _WEIGHTS)
