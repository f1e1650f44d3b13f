"""Everyday prompts in the pipeline: the table of a model folder, and prompts that are too long."""

from __future__ import annotations

import logging
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.models.text import unknown_words
from mask2iv.official.tokenizer import Vocabulary, bytes_to_letters, clip_tokenizer, empty_prompt_tokenizer
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.prompts.reader import PromptReader, PromptWarning

SHIPPED = Path(str(resources.files("mask2iv"))) / "weights" / "embedded" / "wording.json"
PROMPT = "a hand pushing a box to the right"
LOGGER = "mask2iv.prompts.reader"


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with the shipped table; it knows a hand pushing a box, a can or a book."""
    folder = tmp_path_factory.mktemp("read") / "model"
    shutil.copytree(tiny_model, folder)
    shutil.copy(SHIPPED, folder)
    return folder


@pytest.fixture(scope="module")
def pipe(model: Path) -> Mask2IVPipeline:
    return Mask2IVPipeline.from_pretrained(model)


@pytest.fixture(scope="module")
def clip_words() -> PreTrainedTokenizerBase:
    """A tokenizer like CLIP's, without any merges: each letter is a token."""
    letters = list(bytes_to_letters().values())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<start>", "<end>"]
    return clip_tokenizer(Vocabulary({piece: index for index, piece in enumerate(pieces)}, []))


def test_an_everyday_prompt_gives_what_its_caption_gives(
    pipe: Mask2IVPipeline, tiny_clips: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = ClipSet(tiny_clips)[0]
    everyday = "Please shove the package rightwards!"
    assert pipe.prompts.read(everyday) == PROMPT
    with caplog.at_level(logging.INFO, LOGGER):
        said, read = (
            pipe(clip.image, clip.object_mask, prompt, generator=[3], progress=False) for prompt in (PROMPT, everyday)
        )
        (alone,) = pipe.trajectory(clip.image, clip.object_mask, everyday, generator=[3], progress=False)
    assert np.array_equal(said.frames[0], read.frames[0])
    assert np.array_equal(said.trajectory[0].labels, read.trajectory[0].labels)
    assert np.array_equal(said.trajectory[0].labels, alone.labels)
    assert {record.getMessage() for record in caplog.records} == {f'prompt: "{everyday}" read as "{PROMPT}"'}


def test_a_model_without_a_table_reads_what_is_said(tiny_model: Path) -> None:
    pipe = Mask2IVPipeline.from_pretrained(tiny_model)
    assert pipe.prompts.read("shove the package rightwards") == "shove the package rightwards"
    assert pipe.unknown_words("shove the package rightwards") == ["shove", "package", "rightwards"]


def test_the_table_is_saved_with_the_model(pipe: Mask2IVPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "copy")
    copy = Mask2IVPipeline.from_pretrained(tmp_path / "copy")
    assert copy.prompts.wording is not None
    assert pipe.prompts.wording is not None
    assert copy.prompts.wording.table == pipe.prompts.wording.table


def test_unknown_words_are_those_of_the_prompt_as_it_is_read(pipe: Mask2IVPipeline) -> None:
    assert pipe.unknown_words("shove the samovar leftwards") == ["samovar"]


def test_a_call_warns_of_words_without_meaning(pipe: Mask2IVPipeline, tiny_clips: Path) -> None:
    clip = ClipSet(tiny_clips)[0]
    with pytest.warns(PromptWarning, match="words that mean nothing to this model: samovar"):
        pipe.trajectory(clip.image, clip.object_mask, "push the samovar", seed=0, num_inference_steps=1, progress=False)


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("push the box to the right", "a hand pushing the box to the right"),
        ("Push a can to the left", "a hand pushing a can to the left"),
        ("a hand pushes a book to the left", "a hand pushing a book to the left"),
        (PROMPT, PROMPT),
        ("juggle the box", "juggle the box"),
    ],
)
def test_without_a_table_an_imperative_keeps_its_verb(tiny_model: Path, prompt: str, read: str) -> None:
    """As of every model that is trained on own captions."""
    assert Mask2IVPipeline.from_pretrained(tiny_model).prompts.read(prompt) == read


def test_prompts_of_an_open_vocabulary_are_never_read_otherwise(
    clip_words: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    for tokenizer in (clip_words, empty_prompt_tokenizer(40)):
        shutil.copy(SHIPPED, tmp_path)
        assert PromptReader.load(tmp_path, tokenizer).read("lift the mug") == "lift the mug"
        # Not even looked at.
        (tmp_path / "wording.json").write_text("{")
        assert PromptReader.load(tmp_path, tokenizer).unknown("lift the samovar") == []
    assert unknown_words(clip_words, "samovar") == []


def test_what_is_too_long_is_named(
    pipe: Mask2IVPipeline, clip_words: PreTrainedTokenizerBase, tiny_clips: Path
) -> None:
    long = "shove the package rightwards" + " quite near the wall" * 4
    assert pipe.prompts.read(long) == PROMPT + " quite near a wall" * 4
    assert pipe.prompts.limit == 24
    assert pipe.prompts.cut_off(PROMPT) == ""
    assert pipe.prompts.cut_off(long) == "a wall"
    clip = ClipSet(tiny_clips)[0]
    with pytest.warns(PromptWarning, match='than the 24 tokens that this model takes; it does not see "a wall"'):
        pipe.trajectory(clip.image, clip.object_mask, long, generator=[0], num_inference_steps=1, progress=False)
    reader = PromptReader(clip_words)
    assert reader.cut_off("x" * 75) == ""
    assert reader.cut_off("a " * 70 + "glass of water") == "of water"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "wording.json: is not valid JSON"),
        ("[]", "wording.json: expected an object, found"),
        ("{}", "wording.json: WordingTable: missing configuration key 'default_actor'"),
        ('{"default_actor": 1}', "wording.json: default_actor: expected a valid string, found 1"),
    ],
)
def test_a_damaged_table_is_an_error_that_names_it(model: Path, tmp_path: Path, content: str, message: str) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "wording.json").write_text(content)
    with pytest.raises(InputError, match=message):
        Mask2IVPipeline.from_pretrained(tmp_path / "model")
