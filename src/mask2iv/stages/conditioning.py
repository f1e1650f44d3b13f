"""The conditions of a model's two stages, and how they enter the networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from mask2iv.errors import InputError
from mask2iv.trajectories.labels import only_actors

if TYPE_CHECKING:
    import torch

MaskLayout = Literal["joint", "text", "position"]
VideoControl = Literal["concat", "controlnet", "none"]
VideoMasks = Literal["actor+object", "actor"]


@dataclass(frozen=True)
class VideoConditioning:
    """The conditions of stage 2 besides the first frame. The defaults are the paper's (section 3.3).

    Attributes:
        control: how the masks' latents enter the network: "concat", joined to the noisy latents; "controlnet", through
            a trainable copy of its encoder half (:class:`mask2iv.backbones.dynamicrafter.controlnet.ControlNet`);
            "none", not at all.
        masks: whose masks the network gets. With "actor" the object's are left out of every mask input, even if the
            trajectory has them.
        text: whether the prompt enters by cross-attention; else it is the empty one.
        frames_together: whether the frames of a clip are generated together. If not, the network is an image model that
            generates each frame separately, and gets the first frame's masks beside those of the frame.

    Raises:
        InputError: an unknown value, or values that contradict each other.
    """

    control: VideoControl = "concat"
    masks: VideoMasks = "actor+object"
    text: bool = False
    frames_together: bool = True

    def __post_init__(self) -> None:
        for name, known in (("control", get_args(VideoControl)), ("masks", get_args(VideoMasks))):
            if getattr(self, name) not in known:
                raise InputError(
                    f"video_conditioning.{name}", f"must be one of {', '.join(known)}, found {getattr(self, name)!r}"
                )
        if not self.frames_together and self.control != "concat":
            raise InputError(
                "video_conditioning.frames_together",
                f"false needs control='concat', found {self.control!r}: a frame made by itself knows its place in the "
                "clip from its masks alone",
            )

    @property
    def takes_masks(self) -> bool:
        """Whether a trajectory is needed."""
        return self.control != "none"

    @property
    def needs_actor_masks(self) -> bool:
        """Whether masks without the object are needed."""
        return self.takes_masks and self.masks == "actor"

    def shown(self, labels: torch.Tensor) -> torch.Tensor:
        """The labels that the network may see, uint8 of any shape: all, the actors', or background only."""
        if not self.takes_masks:
            return labels * 0
        return labels if self.masks == "actor+object" else only_actors(labels)
