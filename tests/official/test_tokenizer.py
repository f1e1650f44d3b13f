"""CLIP's tokenizer from a small vocabulary in the published format: ids, cleaning, padding, cutting."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mask2iv.errors import InputError
from mask2iv.models.text import has_no_words, token_ids, unknown_words
from mask2iv.official.tokenizer import (
    clip_tokenizer,
    empty_prompt_tokenizer,
    find_vocabulary,
)

# Ids: 256 bytes, the same at the end of a word, then these merges, start and end.
MERGES = ["h a", "ha n", "han d</w>", "b o", "bo x</w>"]
SIZE = 512 + len(MERGES) + 2
START, END = SIZE - 2, SIZE - 1
HAND, BOX = 514, 516


def write_bpe(path: Path) -> Path:
    # The published file holds more merges than the vocabulary uses.
    path.write_bytes(gzip.compress(("#version: 0.2\n" + "\n".join([*MERGES, "x y", "y z"]) + "\n").encode()))
    return path


def piece(letter: str, ends_word: bool = True) -> int:
    """Id of a printable ASCII letter: they are the first 94 pieces, from "!" on."""
    return ord(letter) - ord("!") + (256 if ends_word else 0)


@pytest.fixture
def tokenizer(tmp_path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer, saved and loaded again as in a model folder."""
    vocabulary = find_vocabulary(str(write_bpe(tmp_path / "bpe.txt.gz")), SIZE)
    assert vocabulary is not None
    clip_tokenizer(vocabulary).save_pretrained(tmp_path / "tokenizer")
    return PreTrainedTokenizerFast.from_pretrained(tmp_path / "tokenizer", local_files_only=True)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", []),
        ("hand", [HAND]),
        ("A  HAND,\nbox", [piece("a"), HAND, piece(","), BOX]),
        ("box!", [BOX, piece("!")]),
        ("hat", [512, piece("t")]),
        ("42", [piece("4"), piece("2")]),
        ("box's", [BOX, piece("'", False), piece("s")]),
        ("box’s “hand”", [BOX, piece("'", False), piece("s"), piece('"'), HAND, piece('"')]),
        ("hand &amp; box", [HAND, piece("&"), BOX]),
    ],
)
def test_ids(tokenizer: PreTrainedTokenizerBase, prompt: str, expected: list[int]) -> None:
    row = [START, *expected, END]
    assert token_ids(tokenizer, [prompt]).tolist() == [row + [0] * (77 - len(row))]


def test_a_long_prompt_is_cut_and_still_ends(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = token_ids(tokenizer, ["box " * 100, ""])
    assert ids.shape == (2, 77)
    assert ids.dtype == torch.int64
    assert ids[0].tolist() == [START, *[BOX] * 75, END]
    assert unknown_words(tokenizer, "anything at all") == []


def test_every_form_of_the_vocabulary_gives_the_same(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bpe = write_bpe(tmp_path / "again.txt.gz")
    wheel = tmp_path / "open_clip_torch-9.9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(bpe, "open_clip/bpe_simple_vocab_16e6.txt.gz")
    folder = tmp_path / "slow"
    folder.mkdir()
    # The names of the special tokens vary between sources.
    named = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {named.get(name, name): index for name, index in tokenizer.get_vocab().items()}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    prompts = ["a hand, a BOX!", ""]
    expected = token_ids(tokenizer, prompts)
    # In place of the hub, which tests cannot reach, the download returns the files of one model.
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda name, file: {"some/clip": folder}[name] / file)
    for source in (bpe, wheel, folder, tmp_path / "tokenizer", "some/clip"):
        vocabulary = find_vocabulary(str(source), SIZE)
        assert vocabulary is not None
        assert torch.equal(token_ids(clip_tokenizer(vocabulary), prompts), expected), source


def test_the_vocabulary_of_an_installed_open_clip_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "open_clip"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    write_bpe(package / "bpe_simple_vocab_16e6.txt.gz")
    monkeypatch.syspath_prepend(tmp_path)
    vocabulary = find_vocabulary(None, SIZE)
    assert vocabulary is not None
    assert len(vocabulary.ids) == SIZE


def test_a_tokenizer_without_words_takes_only_the_empty_prompt(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    empty_prompt_tokenizer(SIZE).save_pretrained(tmp_path / "empty")
    empty = PreTrainedTokenizerFast.from_pretrained(tmp_path / "empty", local_files_only=True)
    assert torch.equal(token_ids(empty, ["", ""]), token_ids(tokenizer, ["", ""]))
    assert has_no_words(empty)
    assert token_ids(empty_prompt_tokenizer(49408, 77), [""])[0].tolist() == [49406, 49407, *[0] * 75], "CLIP's own ids"
    assert not has_no_words(tokenizer)
    with pytest.raises(InputError, match=r"'box'.*open_clip_torch"):
        token_ids(empty, ["", "box"])


def test_invalid_vocabularies_are_refused(tmp_path: Path) -> None:
    good = str(write_bpe(tmp_path / "bpe.txt.gz"))
    (tmp_path / "text.txt").write_text("not compressed")
    (tmp_path / "empty").mkdir()
    (tmp_path / "wheel.whl").write_text("not a zip")
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}, "merges": ["b c"]}}')
    for source, size, message in (
        (good, SIZE + 100, f"must have the {SIZE + 100} pieces that the text encoder knows, found {SIZE + 2}"),
        (str(tmp_path / "text.txt"), SIZE, "text.txt cannot be read"),
        (str(tmp_path / "wheel.whl"), SIZE, "wheel.whl cannot be read"),
        (str(tmp_path / "empty"), SIZE, "has neither tokenizer.json nor vocab.json"),
        (str(odd), SIZE, "no byte-pair encoding"),
    ):
        with pytest.raises(InputError, match=f"^tokenizer: .*{message}"):
            find_vocabulary(source, size)
