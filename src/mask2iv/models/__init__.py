"""The networks: video U-Net, resampler, image preprocessing, and import of original checkpoints."""

from mask2iv.models.config import ResamplerConfig, UNetConfig
from mask2iv.models.resampler import Resampler
from mask2iv.models.unet import VideoUNet

__all__ = ["Resampler", "ResamplerConfig", "UNetConfig", "VideoUNet"]
