"""A pipeline of the original's shape: AutoencoderKL, 77 text tokens, 12 input channels, dynamic rescale."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.errors import InputError
from mask2iv.models.text import tiny_clip, word_tokenizer
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.stages.config import PipelineConfig

IMAGE = np.random.RandomState(0).randint(0, 256, (64, 128, 3)).astype(np.uint8)
MASK = np.zeros((64, 128), dtype=bool)
MASK[10:40, 20:60] = True
TARGET = np.roll(MASK, 40, axis=1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def original() -> Mask2IVPipeline:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(["a", "hand", "pushing", "box"], 77)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    clip = tiny_clip(len(tokenizer), 77, size, {**size, "image_size": 28, "patch_size": 14})
    from transformers import CLIPTextModel, CLIPVisionModel

    unet = UNetConfig(in_channels=12, model_channels=32, num_head_channels=16, context_dim=32, num_res_blocks=1)
    resampler = ResamplerConfig(dim=32, depth=1, dim_head=16, heads=2, embedding_dim=32, output_dim=32, video_length=4)

    def stage() -> tuple[VideoUNet, Resampler]:
        network = VideoUNet(unet)
        # The output layer starts at zero; a random one makes the conditions visible in the result.
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
        return network.eval(), Resampler(resampler).eval()

    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 32, 32, 32),
        latent_channels=4,
        scaling_factor=0.18215,
    )
    (trajectory_unet, trajectory_resampler), (video_unet, video_resampler) = stage(), stage()
    config = PipelineConfig(
        height=64, width=128, num_frames=4, mask_layout="text", drop_image_in_guidance=True, eta=1.0
    )
    return Mask2IVPipeline(
        config,
        vae.eval(),
        tokenizer,
        CLIPTextModel(clip.config.text_config).eval(),
        CLIPVisionModel(clip.config.vision_config).eval(),
        DDIMScheduler(),
        trajectory_unet,
        trajectory_resampler,
        video_unet,
        video_resampler,
    )


def with_layout(pipe: Mask2IVPipeline, layout: str) -> Mask2IVPipeline:
    parts = pipe.components
    config = replace(pipe.config, mask_layout=layout)  # type: ignore[arg-type]
    return Mask2IVPipeline(config, **parts)


def test_the_text_layout_generates_and_follows_prompt_guidance(original: Mask2IVPipeline) -> None:
    runs = [
        original(IMAGE, MASK, "a hand pushing a box", num_inference_steps=2, video_num_inference_steps=2,
                 guidance_scale=scale, guidance_rescale=0.7, generator=seeded(0), progress=False)
        for scale in (1.0, 7.5)
    ]  # fmt: skip
    assert runs[0].frames[0].shape == (4, 64, 128, 3)
    assert not np.array_equal(runs[0].trajectory[0].labels, runs[1].trajectory[0].labels)
    with pytest.raises(InputError, match="this model's stage 1 takes text only"):
        original.trajectory(IMAGE, MASK, "a hand pushing a box", TARGET)


def test_the_position_layout_needs_a_target_and_takes_no_prompt(original: Mask2IVPipeline) -> None:
    pipe = with_layout(original, "position")
    found = [
        pipe.trajectory(IMAGE, MASK, None, target, num_inference_steps=2, generator=seeded(0), progress=False)[0].labels
        for target in (TARGET, MASK)
    ]
    assert not np.array_equal(found[0], found[1]), "the target reaches the network"
    with pytest.raises(InputError, match="takes a target position only"):
        pipe.trajectory(IMAGE, MASK, "a hand pushing a box", TARGET)


def test_the_posterior_is_sampled_from_the_samples_own_generator(original: Mask2IVPipeline) -> None:
    images = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float() / 127.5 - 1
    twice = torch.cat([images, images])
    latents = original.encoder.latents(twice, [seeded(1), seeded(2)])
    assert not torch.equal(latents[0], latents[1])
    assert torch.equal(latents[1:], original.encoder.latents(images, [seeded(2)]))
