"""Both stages, ablations and baselines, started from one image-to-video network as the paper's from DynamiCrafter."""

from __future__ import annotations

from mask2iv.backbones.dynamicrafter.conditions import with_new_channels
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.errors import InputError
from mask2iv.recipes import StageRecipe
from mask2iv.training.networks.stages import load_fitting

_TEMPORAL = ("temporal", "init_attention")
_FIRST = "conv_in.weight"


def from_image_to_video(recipe: StageRecipe, unet: VideoUNet, resampler: Resampler) -> Stage:
    """A stage's networks before training, with the image-to-video network's weights.

    Input channels behind those of noisy and image latent start with zero weights (see
    :func:`mask2iv.backbones.dynamicrafter.conditions.with_new_channels`): a stage 2 computes what that network does,
    for any masks; a stage 1 what it does with the first mask condition as its image. An image model leaves out
    the temporal layers and keeps only the first frame's image tokens.

    Args:
        recipe: of the stage; its sizes are those of the given networks, apart from the above.
        unet: takes the noisy and the image latent.
        resampler: the one that belongs to it.

    Raises:
        InputError: networks of other sizes, or a U-Net with other inputs.
    """
    latent = recipe.unet.out_channels
    if unet.config.in_channels != 2 * latent:
        raise InputError(
            "image_to_video",
            f"its network takes {unet.config.in_channels} channels, not noisy and image latent ({2 * latent})",
            "give a folder trained with the variant dynamicrafter",
        )
    weights = dict(unet.state_dict())
    weights[_FIRST] = with_new_channels(weights[_FIRST], recipe.unet.in_channels - 2 * latent)
    if not recipe.unet.temporal_attention:
        weights = {key: value for key, value in weights.items() if not any(part in key for part in _TEMPORAL)}
    tokens = dict(resampler.state_dict())
    tokens["latents"] = tokens["latents"][:, : recipe.resampler.num_queries * recipe.resampler.video_length]
    stage = Stage(VideoUNet(recipe.unet), Resampler(recipe.resampler))
    load_fitting(stage.unet, weights, "image_to_video: unet")
    load_fitting(stage.resampler, tokens, "image_to_video: resampler")
    return stage
