"""LPIPS, a learned perceptual distance (Zhang et al., 2018), version 0.1, with its weights.

``benchmarks/networks/convert_lpips.py`` writes the folders that are read here: ``model.safetensors``, and
``config.json`` with the digest and the source of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from mask2iv import config as configs
from mask2iv.errors import InputError
from mask2iv.files import require_file, sha256_file

SHIPPED = Path(__file__).parent.parent / "weights" / "lpips-alex"
WEIGHTS, CARD = "model.safetensors", "config.json"

Net = Literal["alex", "vgg"]
_WIDTHS: dict[Net, tuple[int, ...]] = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
# The ReLUs that are compared, by their place in torchvision's `features`.
_COMPARED: dict[Net, tuple[int, ...]] = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
_SMALLEST: dict[Net, int] = {"alex": 31, "vgg": 16}


@dataclass(frozen=True)
class LPIPSCard:
    """The content of ``config.json`` beside the weights.

    Attributes:
        net: the network whose features are compared.
        version: of the channel weights.
        sha256: digest of the weights file.
        storage: number format of the weights.
        source: package, version, file, digests and licences of the original weights.
    """

    net: Net
    version: str
    sha256: str
    storage: str
    source: dict[str, str]


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity (Zhang et al., 2018, equation 1).

    Features after some ReLUs are normalised over channels; their squared differences, weighted per channel, are
    averaged over the picture and summed over the five layers. It is differentiable, so it serves as a loss too; for
    that the authors advise "vgg", for measuring "alex".

    Args:
        net: AlexNet or VGG-16 up to the last convolution's ReLU; modules are named as in torchvision.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, net: Net = "alex") -> None:
        super().__init__()
        self.net = net
        self.features = _alexnet() if net == "alex" else _vgg16()
        self.lins = nn.ParameterList(torch.empty(width) for width in _WIDTHS[net])
        # ImageNet's mean and deviation, for pictures in [-1, 1]. They are not in the weights file, so they need memory
        # even where the network is built on the meta device.
        shift, scale = [-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]
        self.register_buffer("shift", torch.tensor(shift, device="cpu").view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale, device="cpu").view(1, 3, 1, 1), persistent=False)

    def layers(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Normalised features of each compared layer, of pictures [N, 3, H, W] in [-1, 1]."""
        x, found = (pictures - self.shift) / self.scale, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _COMPARED[self.net]:
                found.append(x / torch.sqrt(x.square().sum(dim=1, keepdim=True) + 1e-8))
        return found

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Distances [N] of pictures [N, 3, H, W] in [-1, 1]; 0 for equal ones.

        Raises:
            InputError: pictures too small for the network.
        """
        least = _SMALLEST[self.net]
        if min(a.shape[-2:]) < least:
            raise InputError(
                "pictures",
                f"{a.shape[-2]}x{a.shape[-1]} pixels are too small for LPIPS, which takes {least}x{least} or more",
                "leave lpips out of the metrics",
            )
        pairs = zip(self.lins, self.layers(a), self.layers(b), strict=True)
        terms = [torch.einsum("c,nchw->nhw", w, (x - y).square()).mean(dim=(1, 2)) for w, x, y in pairs]
        return torch.stack(terms).sum(dim=0)


def _alexnet() -> nn.Sequential:
    """torchvision's AlexNet up to its fifth convolution."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(),
    )  # fmt: skip


def _vgg16() -> nn.Sequential:
    """torchvision's VGG-16 up to its thirteenth convolution."""
    layers: list[nn.Module] = []
    width = 3
    for outputs, convolutions in zip(_WIDTHS["vgg"], (2, 2, 3, 3, 3), strict=True):
        if layers:
            layers.append(nn.MaxPool2d(2, 2))
        for _ in range(convolutions):
            layers += [nn.Conv2d(width, outputs, 3, 1, 1), nn.ReLU()]
            width = outputs
    return nn.Sequential(*layers)


def load_lpips(folder: Path = SHIPPED) -> LPIPS:
    """The network of a folder in float32, frozen and in evaluation mode; by default the one of the package.

    Raises:
        InputError: a file is missing, damaged (its digest is not the one on its card) or does not fit.
    """
    card = configs.read_config(folder / CARD, LPIPSCard)
    require_file(folder / WEIGHTS, "LPIPS weights")
    found = sha256_file(folder / WEIGHTS)
    if found != card.sha256:
        raise InputError(
            str(folder / WEIGHTS),
            f"these LPIPS weights are damaged: their sha256 is {found}, and {CARD} states {card.sha256}",
            "install the package, or convert the weights, again",
        )
    # On the meta device first: weights that are replaced at once need not be drawn.
    with torch.device("meta"):
        net = LPIPS(card.net)
    try:
        state = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
        net.load_state_dict(state, assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(str(folder / WEIGHTS), f"these LPIPS weights cannot be read: {error}") from error
    return net.eval().requires_grad_(False)


def shipped_identity() -> dict[str, str]:
    """Name and digest of the package's weights."""
    return {"name": SHIPPED.name, "sha256": sha256_file(SHIPPED / WEIGHTS)}
