"""Tokenisers, and text and image encoders: transformers' CLIP models and the embedded model's closed vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from mask2iv.errors import InputError
from mask2iv.seeds import generator_of

PAD, BOS, EOS, UNK = "<pad>", "<start>", "<end>", "<unknown>"
START, END = "<start_of_text>", "<end_of_text>"
"""CLIP's own names for these tokens."""
REMEDY = (
    "get the CLIP vocabulary with `pip download open_clip_torch --no-deps -d clip` and give "
    "`clip/open_clip_torch-*.whl` as the tokenizer"
)


def word_tokenizer(vocabulary: Sequence[str], max_length: int) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word, for models with a closed vocabulary.

    Id 0 pads after the end token, as in the CLIP tokenizer of the original.
    """
    # With id 2 for the end token, transformers' CLIP would pool at the largest id instead of at the end token.
    words = [PAD, UNK, BOS, EOS, *sorted(set(vocabulary))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=UNK))
    tokenizer.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("removed")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, words.index(BOS)), (EOS, words.index(EOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
    )


def has_no_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer serves only the empty prompt: CLIP's, imported without its vocabulary."""
    return set(tokenizer.get_vocab()) == {START, END}


def has_closed_vocabulary(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer knows a fixed set of words; CLIP's builds any word from pieces."""
    return tokenizer.unk_token_id is not None and tokenizer.unk_token != tokenizer.eos_token


def unknown_words(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[str]:
    """Words of `prompt` that a closed-vocabulary tokenizer does not know; empty for an open vocabulary."""
    if not has_closed_vocabulary(tokenizer):
        return []
    found = []
    for word in prompt.split():
        ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        if tokenizer.unk_token_id in ids:
            found.append(word)
    return found


def words_cut_off(tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    """The end of `prompt` that :func:`token_ids` cuts off, from the first word that is not kept whole; "" for none."""
    words = prompt.split()
    room = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    for index, word in enumerate(words):
        room -= len(tokenizer(word, add_special_tokens=False)["input_ids"])
        if room < 0:
            return " ".join(words[index:])
    return ""


@torch.no_grad()
def add_words(tokenizer: PreTrainedTokenizerBase, encoder: CLIPTextModel, words: Sequence[str]) -> CLIPTextModel:
    """Add words to a closed vocabulary, each with a token and an embedding of its own.

    Known words keep theirs, so that networks trained with them still work. A new embedding is drawn with the mean and
    spread of the known ones, seeded by its word; its meaning is learnt in training.

    Args:
        tokenizer: receives the words, in lower case.
        encoder: is not changed.
        words: words without punctuation; known ones are skipped.

    Returns:
        A text encoder with the new embeddings.
    """
    weights = encoder.state_dict()
    name = next(key for key in weights if key.endswith("token_embedding.weight"))
    # An encoder may be ahead of its tokenizer, if saving was interrupted between the two.
    known = weights[name][: len(tokenizer)]
    words = [word for word in dict.fromkeys(words) if unknown_words(tokenizer, word)]
    # Whole words only: "two" must not match within "network".
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in words])  # type: ignore[arg-type]
    drawn = [torch.randn(1, known.shape[1], generator=generator_of(word)) for word in words]
    mean, spread = known.float().mean(dim=0), known.float().std(dim=0)
    weights[name] = torch.cat([known, *((mean + spread * one.to(mean)).to(known) for one in drawn)])
    config = CLIPTextConfig.from_dict({**encoder.config.to_dict(), "vocab_size": len(tokenizer)})
    larger = CLIPTextModel(config).to(known)
    larger.load_state_dict(weights)
    return larger.eval()


def token_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> torch.Tensor:
    """Token ids, int64 [B, L], padded with 0 after the end token and cut at the tokenizer's length (L).

    Raises:
        InputError: a prompt with words, for a tokenizer without a vocabulary; or a damaged tokenizer.
    """
    first = next((prompt for prompt in prompts if prompt.strip()), None)
    if first is not None and has_no_words(tokenizer):
        raise InputError(
            f"prompt {first!r}",
            "this model was imported without the CLIP vocabulary and knows the empty prompt only",
            f"{REMEDY} when you import it",
        )
    length = tokenizer.model_max_length
    ids = torch.zeros(len(prompts), length, dtype=torch.int64)
    # Not padded by the tokenizer: id 0 is the piece "!" in CLIP's vocabulary, so it cannot be the padding token.
    for row, found in enumerate(tokenizer(list(prompts), truncation=True, max_length=length)["input_ids"]):
        if len(found) > length:
            raise InputError("model", f"its tokenizer makes {len(found)} tokens of a prompt and declares {length}")
        ids[row, : len(found)] = torch.tensor(found)
    return ids


def encode_text(
    tokenizer: PreTrainedTokenizerBase, encoder: CLIPTextModel, prompts: Sequence[str], skip_last: int
) -> torch.Tensor:
    """Text context [B, L, D]: all positions, padding included, of the layer `skip_last` blocks before the last.

    The original drops one block ("penultimate") and applies the final LayerNorm; no pooling, no projection.
    """
    ids = token_ids(tokenizer, prompts).to(encoder.device)
    output = encoder(input_ids=ids, output_hidden_states=True)
    hidden: torch.Tensor = encoder.final_layer_norm(output.hidden_states[-1 - skip_last])
    return hidden


def encode_image(encoder: CLIPVisionModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """Image tokens [B, L, D] of preprocessed images: all blocks, class token included, no final LayerNorm."""
    hidden: torch.Tensor = encoder(pixel_values=pixel_values).last_hidden_state
    return hidden


def tiny_clip(
    vocabulary_size: int,
    max_length: int,
    text: dict[str, Any],
    vision: dict[str, Any],
    projection_dim: int = 64,
) -> CLIPModel:
    """A small CLIP of transformers' class, to be trained on a clip set's own frames and captions."""
    text_config = CLIPTextConfig(
        vocab_size=vocabulary_size,
        max_position_embeddings=max_length,
        hidden_act="gelu",
        projection_dim=projection_dim,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        **text,
    )
    vision_config = CLIPVisionConfig(hidden_act="gelu", projection_dim=projection_dim, **vision)
    config = CLIPConfig(
        text_config=text_config.to_dict(), vision_config=vision_config.to_dict(), projection_dim=projection_dim
    )
    return CLIPModel(config)
