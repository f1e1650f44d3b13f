"""A ControlNet for the video U-Net: a trainable copy of its encoder half whose outputs are added to the encoder's own.

ControlNet (Zhang et al. 2023, arXiv 2302.05543, section 3) on a video model, as InterDyn uses it for actor masks
(arXiv 2412.11785). Every connection from the copy into the network starts as a zero convolution, so that at first the
network's output does not change.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mask2iv.backbones.dynamicrafter.layers import zero_init
from mask2iv.backbones.dynamicrafter.sizes import UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.errors import InputError


@dataclass(frozen=True)
class ControlNetConfig(UNetConfig):
    """The configuration of the controlled network, and:

    Attributes:
        control_channels: channels of the control latents.
    """

    control_channels: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive_int("control_channels")


class ControlNet(VideoUNet):
    """Residuals for the skip connections and the middle of a :class:`VideoUNet`, from control latents.

    The control latents pass through two convolutions, the second of zeros, and are added after the copy's first
    convolution.

    Args:
        config: of the U-Net it belongs to, with the control's channels.
    """

    config: ControlNetConfig

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__(config)
        # A ControlNet has no decoder half.
        self.decoder = nn.ModuleList()
        del self.norm_out, self.conv_out
        width = config.model_channels
        self.control_in = nn.Sequential(
            nn.Conv2d(config.control_channels, width, 3, padding=1),
            nn.SiLU(),
            zero_init(nn.Conv2d(width, width, 3, padding=1)),
        )
        widths = [*self.skip_widths, config.widths[-1]]
        self.zero_convs = nn.ModuleList(zero_init(nn.Conv2d(channels, channels, 1)) for channels in widths)

    @torch.no_grad()
    def copy_from(self, unet: VideoUNet) -> None:
        """Copy the weights of the U-Net's encoder half; the control's own layers are not changed.

        Raises:
            InputError: a U-Net of another size.
        """
        theirs = unet.state_dict()
        for name, own in self.state_dict().items():
            if name.split(".")[0] in ("control_in", "zero_convs"):
                continue
            if name not in theirs or theirs[name].shape != own.shape:
                raise InputError("unet", f"it has no {name} of shape {list(own.shape)} for the ControlNet to copy")
            own.copy_(theirs[name])

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        control: Tensor,
        timesteps: Tensor,
        context: Tensor,
        fps: Tensor | None = None,
    ) -> list[Tensor]:
        """The ``residuals`` of :meth:`VideoUNet.forward`.

        Args:
            x, timesteps, context, fps: as given to the U-Net.
            control: control latents [B, control_channels, T, h, w].

        Returns:
            One [B*T, C', h', w'] per skip connection, then the middle's.

        Raises:
            InputError: a shape that does not fit the configuration.
        """
        self._check(x, timesteps, context, fps)
        expected = (x.shape[0], self.config.control_channels, *x.shape[2:])
        if tuple(control.shape) != expected:
            raise InputError("control", f"ControlNet expects {list(expected)}, found {list(control.shape)}")
        memory_format = self._memory_format(x.device)
        hidden, hint = (
            layer(video.to(self.dtype).transpose(1, 2).flatten(0, 1).contiguous(memory_format=memory_format))
            for layer, video in ((self.conv_in, x), (self.control_in, control))
        )
        tokens = self._split_context(context.to(self.dtype), x.shape[2])
        middle, skips = self._encode(hidden + hint, self._embed(timesteps, fps), tokens, x.shape[0])
        return [conv(part) for conv, part in zip(self.zero_convs, [*skips, middle], strict=True)]
