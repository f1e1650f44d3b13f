"""Contrastive training of the small CLIP on frames and captions of a clip set."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers import CLIPModel, CLIPTextModel, CLIPVisionModel, PreTrainedTokenizerFast

from mask2iv.contract import Batch
from mask2iv.models.image import preprocess_clip_image
from mask2iv.models.text import tiny_clip, token_ids, word_tokenizer
from mask2iv.recipes import EncodersRecipe
from mask2iv.training.engine.loop import Trainer, Validation
from mask2iv.training.engine.run import Run
from mask2iv.training.engine.samples import Samples
from mask2iv.training.inputs.clips import ClipMemory


def contrastive_loss(model: CLIPModel, ids: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Symmetric contrastive loss (CLIP); clips of a batch that share a caption all count as matches.

    Args:
        ids: int64 [B, L].
        pixels: preprocessed images, float [2B, 3, S, S]: first frames, then last ones; the two embeddings are averaged.
    """
    text = F.normalize(model.get_text_features(input_ids=ids).pooler_output, dim=-1)
    image = F.normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
    image = F.normalize(image.unflatten(0, (2, -1)).mean(dim=0), dim=-1)
    logits = model.logit_scale.exp().clamp(max=100.0) * text @ image.T
    same = (ids[:, None] == ids[None]).all(dim=-1).float()
    wanted = same / same.sum(dim=-1, keepdim=True)
    return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2


def make_clip(recipe: EncodersRecipe, vocabulary_size: int) -> CLIPModel:
    """A fresh CLIP of the recipe's sizes."""

    def sizes(width: int, layers: int) -> dict[str, int]:
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": recipe.heads,
        }

    pixels = {"image_size": recipe.image_size, "patch_size": recipe.patch_size}
    text = sizes(recipe.text_width, recipe.text_layers)
    vision = sizes(recipe.image_width, recipe.image_layers) | pixels
    return tiny_clip(vocabulary_size, recipe.text_tokens, text, vision)


def train_encoders(
    recipe: EncodersRecipe,
    vocabulary: list[str],
    clips: ClipMemory,
    held_out: ClipMemory,
    run: Run,
) -> tuple[PreTrainedTokenizerFast, CLIPTextModel, CLIPVisionModel, dict[str, float]]:
    """Train tokenizer, text and image encoder. The figures are the loss on held-out clips, and that of guessing."""
    torch.manual_seed(recipe.training.seed)
    tokenizer = word_tokenizer(vocabulary, recipe.text_tokens)
    model = make_clip(recipe, len(tokenizer))
    model.to(clips.device)  # type: ignore[arg-type]

    last = clips.dataset.num_frames - 1

    def batch_loss(batch: Batch) -> torch.Tensor:
        ends = torch.cat([batch.video[:, :, 0], batch.video[:, :, 1]])
        pixels = preprocess_clip_image(ends, recipe.image_size)
        return contrastive_loss(model, token_ids(tokenizer, batch.captions).to(clips.device), pixels)

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        return {"loss": batch_loss(clips.frames(samples.rows, [last] * len(samples)))}

    def figures(step: int) -> dict[str, float]:
        count = min(64, len(held_out))
        batch = held_out.frames(range(count), [last] * count)
        return {"loss": float(batch_loss(batch)), "guessing": float(torch.tensor(count).log())}

    validation = Validation(figures, "loss", larger_is_better=False)
    # The loss contrasts all samples of a batch, so it cannot be computed in parts.
    trainer = Trainer(model, recipe.training, run, loss, clips.clips.ids, validation, divisible=False)
    result = trainer.run()
    text, image = CLIPTextModel(model.text_model.config), CLIPVisionModel(model.vision_model.config)
    text.load_state_dict(model.text_model.state_dict())
    image.load_state_dict(model.vision_model.state_dict())
    return tokenizer, text.eval(), image.eval(), result
