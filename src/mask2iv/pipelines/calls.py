"""Compatibility with diffusers: its names of arguments are accepted, or rejected with the name to use here."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar, get_args

import numpy as np
import torch
from PIL import Image

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
OutputType = Literal["pil", "np", "pt"]

_ADVICE = {
    "negative_prompt": "guidance is by the empty prompt; leave it out",
    "num_images_per_prompt": "use num_videos_per_prompt",
    "mask_image": "use object_mask",
    "latents": "noise is drawn from generator; leave it out",
    "callback": "use callback_on_step_end",
    "callback_steps": "callback_on_step_end is called at every step",
    "callback_on_step_end_tensor_inputs": "callback_on_step_end gets the latents; leave it out",
    "fps": "a model has its own frame rate, pipe.config.fps; write the video at another one",
    "eta": "set pipe.scheduler, or the model's eta",
    "strength": "the first frame is kept; leave it out",
    "decode_chunk_size": "use enable_vae_slicing or disable_vae_slicing",
    "trust_remote_code": "no code of a model is ever run; leave it out",
    "custom_pipeline": "no code of a model is ever run; leave it out",
    "use_safetensors": "only safetensors are read; leave it out",
    "variant": "a folder holds one precision; use torch_dtype",
    "dtype": "use torch_dtype",
    "device_map": "call to('cuda') or enable_model_cpu_offload()",
}
"""Arguments of diffusers that have another name here, or none."""


def explains_keywords(call: Callable[P, R]) -> Callable[P, R]:
    """Decorates a method: an unknown keyword raises an InputError that names the keyword to use."""
    known = [name for name in inspect.signature(call).parameters if name not in ("self", "cls")]

    @wraps(call)
    def wrapped(*args: P.args, **keywords: P.kwargs) -> R:
        for name in keywords:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                guess = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
                raise InputError(name, "is no argument of this call", _ADVICE.get(name, guess))
        return call(*args, **keywords)

    return wrapped


def check_call(output_type: str | None, num_frames: int | None, own_frames: int) -> None:
    """Check what a call requests against the model, before anything is computed.

    Raises:
        InputError: an unknown form of videos, or another number of frames than the model's.
    """
    if output_type is not None and output_type not in get_args(OutputType):
        known = ", ".join(get_args(OutputType))
        raise InputError("output_type", f"must be {known}, or None for uint8 arrays, found {output_type!r}")
    if num_frames is not None and num_frames != own_frames:
        raise InputError("num_frames", f"this model makes {own_frames} frames, found {num_frames}", "leave it out")


def one_each(image: Any, prompt: Any) -> Any:
    """The images of a call: one image with a list of prompts is repeated for each of them."""
    if isinstance(prompt, (list, tuple)) and not isinstance(image, (list, tuple)):
        return [image] * len(prompt)
    return image


def as_output(video: UInt8Array, output_type: str | None) -> Any:
    """A video uint8 [T, H, W, 3] as it is (None), or as diffusers gives it.

    Returns:
        "pil": a list of T images; "np": float32 [T, H, W, 3] in [0, 1]; "pt": float32 [T, 3, H, W] in [0, 1].
    """
    if output_type == "pil":
        return [Image.fromarray(frame) for frame in video]
    if output_type == "np":
        return video.astype(np.float32) / 255
    if output_type == "pt":
        return torch.from_numpy(video).permute(0, 3, 1, 2).float() / 255
    return video
