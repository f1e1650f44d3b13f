"""The closed vocabulary's tokenizer: what it does not know, and what it cuts off."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerBase

from mask2iv.models.text import has_closed_vocabulary, token_ids, unknown_words, word_tokenizer, words_cut_off


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    """Room for five words between start and end."""
    return word_tokenizer(["a", "hand", "pushing", "box", "to", "the", "left"], 7)


def test_it_says_which_words_it_does_not_know(tokenizer: PreTrainedTokenizerBase) -> None:
    assert has_closed_vocabulary(tokenizer)
    assert unknown_words(tokenizer, "A hand pushing a samovar, to the left") == ["samovar,"]


@pytest.mark.parametrize(
    ("prompt", "cut"),
    [
        ("", ""),
        ("a hand pushing a box", ""),
        ("A hand, pushing a box!", ""),
        ("a hand pushing a box to the left", "to the left"),
        ("a hand  pushing a box, to the  left.", "to the left."),
        ("a hand pushing a toy-box", "toy-box"),
    ],
)
def test_what_is_cut_off_is_what_makes_no_difference(tokenizer: PreTrainedTokenizerBase, prompt: str, cut: str) -> None:
    assert words_cut_off(tokenizer, prompt) == cut
    other = " ".join(prompt.split()[: len(prompt.split()) - len(cut.split())]) + " pushing" * len(cut.split())
    differs = bool((token_ids(tokenizer, [prompt]) != token_ids(tokenizer, [other])).any())
    # Of a word of several tokens, the first may still be seen.
    assert differs == ("-" in cut)
