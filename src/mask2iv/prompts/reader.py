"""What the text encoder gets to see of a prompt, and the table by which it is read, ``wording.json`` of a model folder.

The table belongs to a model as it was trained. It lies beside the components and not in one of them, so that a model
that is trained further, on captions that say "a hand lifting a cup", does not get it with the tokenizer.
"""

from __future__ import annotations

import logging
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.files import read_json, write_json
from mask2iv.models.text import has_closed_vocabulary, unknown_words, words_cut_off
from mask2iv.prompts.reading import Wording
from mask2iv.prompts.wording import WordingTable

WORDING = "wording.json"
_LOG = logging.getLogger(__name__)


class PromptReader:
    """Reads the prompts of one model. Called by the pipeline, it logs what it reads otherwise and what is cut off.

    Args:
        tokenizer: the model's.
        wording: reads them in the words of the model's captions; None leaves them as they are.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, wording: Wording | None = None) -> None:
        self.tokenizer, self.wording = tokenizer, wording

    @classmethod
    def load(cls, folder: Path, tokenizer: PreTrainedTokenizerBase) -> PromptReader:
        """The reader of a model folder. A table beside a tokenizer with an open vocabulary is not looked at.

        Raises:
            InputError: the table is damaged; names the file and the field.
        """
        path = folder / WORDING
        if not path.is_file() or not has_closed_vocabulary(tokenizer):
            return cls(tokenizer)
        values = read_json(path)
        if not isinstance(values, dict):
            raise InputError(
                f"{path}: expected a JSON object, found {type(values).__name__}; restore or remove the file"
            )
        try:
            table = config.from_dict(WordingTable, values)
        except InputError as error:
            raise InputError(f"{path}: {error}; correct, restore or remove the file") from error
        return cls(tokenizer, Wording(table, lambda word: not unknown_words(tokenizer, word)))

    def save(self, folder: Path) -> None:
        """Write the table, where there is one."""
        if self.wording is not None:
            write_json(folder / WORDING, config.to_dict(self.wording.table))

    def __call__(self, prompt: str) -> str:
        """As :meth:`read`, and logged."""
        read, cut = self.read(prompt), self.cut_off(prompt)
        if read != prompt:
            _LOG.info('prompt: "%s" read as "%s"', prompt, read)
        if cut:
            _LOG.warning(
                'prompt: longer than the %d tokens that this model takes; it does not see "%s"', self.limit, cut
            )
        return read

    @property
    def limit(self) -> int:
        """Tokens that the text encoder takes, start and end included."""
        return int(self.tokenizer.model_max_length)

    def read(self, prompt: str) -> str:
        """What is encoded of a prompt: itself, or what the model's table of words has for it."""
        return prompt if self.wording is None else self.wording(prompt)

    def unknown(self, prompt: str) -> list[str]:
        """Words of a prompt, as it is read, that the text encoder has never seen; empty for an open vocabulary."""
        return unknown_words(self.tokenizer, self.read(prompt))

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt, as it is read, that is too long for the text encoder; "" for none."""
        return words_cut_off(self.tokenizer, self.read(prompt))
