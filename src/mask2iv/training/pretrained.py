"""Both stages, the ablations and the baselines from one image-to-video network, as the paper's from DynamiCrafter."""

from __future__ import annotations

import torch
from torch import Tensor

from mask2iv.errors import InputError
from mask2iv.models.resampler import Resampler
from mask2iv.models.unet import VideoUNet
from mask2iv.recipes import StageRecipe
from mask2iv.stages.stage import Stage
from mask2iv.training.stages import StageName

_TEMPORAL = ("temporal", "init_attention")
_FIRST = "conv_in.weight"


def from_image_to_video(name: StageName, recipe: StageRecipe, unet: VideoUNet, resampler: Resampler) -> Stage:
    """A stage's networks as they answer before training: as the image-to-video network does, whatever the masks are.

    Input channels of its own begin with weights of zero. An image model leaves out the temporal layers, and takes the
    image tokens of the first frame.

    Args:
        name: of the stage: the image latent is the last of stage 1's inputs, the first of stage 2's conditions.
        recipe: of the stage; its sizes are those of the given networks but for what is said above.
        unet: takes the noisy and the image latent.
        resampler: that belongs to it.

    Raises:
        InputError: networks of other sizes, or a U-Net that takes something else.
    """
    latent = recipe.unet.out_channels
    if unet.config.in_channels != 2 * latent:
        raise InputError(
            f"--image-to-video: its network takes {unet.config.in_channels} channels, not noisy and image latent "
            f"({2 * latent}); give a folder trained with the variant dynamicrafter"
        )
    weights = dict(unet.state_dict())
    noisy, image = weights[_FIRST].chunk(2, dim=1)
    new = image.new_zeros(image.shape[0], recipe.unet.in_channels - 2 * latent, *image.shape[2:])
    weights[_FIRST] = torch.cat([noisy, new, image] if name == "trajectory" else [noisy, image, new], dim=1)
    if not recipe.unet.temporal_attention:
        weights = {key: value for key, value in weights.items() if not any(part in key for part in _TEMPORAL)}
    tokens = dict(resampler.state_dict())
    tokens["latents"] = tokens["latents"][:, : recipe.resampler.num_queries * recipe.resampler.video_length]
    stage = Stage(VideoUNet(recipe.unet), Resampler(recipe.resampler))
    _load(stage.unet, weights)
    _load(stage.resampler, tokens)
    return stage


def _load(module: VideoUNet | Resampler, weights: dict[str, Tensor]) -> None:
    wanted = {key: list(value.shape) for key, value in module.state_dict().items()}
    found = {key: list(value.shape) for key, value in weights.items()}
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise InputError(
                f"--image-to-video: {key} has shape {wanted.get(key)} in the recipe, found {found.get(key)}; use the "
                "recipe that these weights were trained with"
            )
    module.load_state_dict(weights)
