"""Mask2IV: interaction-centric video generation through mask trajectories.

Give one image, a mask of the object to be handled, and an instruction or a mask of where the object shall end. Stage 1
predicts a mask trajectory of actor and object; stage 2 renders the video from image and trajectory.
"""

from __future__ import annotations

import importlib
import logging
from functools import partial
from typing import Any

__version__ = "0.1.0"

# Loaded on first access: reading the version must not import torch, which takes seconds.
_PUBLIC = {
    "Mask2IVPipeline": "mask2iv.pipelines.pipeline",
    "Trajectory": "mask2iv.contract",
    "InputError": "mask2iv.errors",
    "Scene": "mask2iv.stages.scene",
    "load_trajectory": "mask2iv.trajectories.storage",
    "load_mask": "mask2iv.trajectories.masks",
    "read_image": "mask2iv.media.images",
    "write_video": "mask2iv.media.videos",
}
__all__ = ["__version__", *_PUBLIC]

# Where torchao is installed, diffusers loads it, and these warn at every start of parts of it that nothing here uses.
_NOISE = {
    "torchao": "Failed to load ",
    "torch.utils._pytree": "Calling register_constant() on Enum subclasses is deprecated",
    "diffusers.quantizers.torchao.torchao_quantizer": "Unable to import `torchao` Tensor objects",
}


def _lacks(text: str, record: logging.LogRecord) -> bool:
    return text not in record.getMessage()


for _name, _text in _NOISE.items():
    logging.getLogger(_name).addFilter(partial(_lacks, _text))


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
