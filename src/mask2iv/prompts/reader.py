"""What the text encoder sees of a prompt, translated by ``wording.json`` of the model folder.

The table belongs to a model as it was trained. It lies beside the components, not in one of them, so that a model
trained further on captions in other words ("a hand lifting a cup") does not inherit it with the tokenizer.
"""

from __future__ import annotations

import logging
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.models.text import has_closed_vocabulary, unknown_words, words_cut_off
from mask2iv.prompts.reading import Wording
from mask2iv.prompts.wording import WordingTable

WORDING = "wording.json"
_LOG = logging.getLogger(__name__)


class PromptReader:
    """Reads the prompts of one model. When called, it logs rewritten prompts and what is cut off.

    Args:
        tokenizer: the model's.
        wording: rewrites prompts in the words of the model's captions; None leaves them unchanged.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, wording: Wording | None = None) -> None:
        self.tokenizer, self.wording = tokenizer, wording

    @classmethod
    def load(cls, folder: Path, tokenizer: PreTrainedTokenizerBase) -> PromptReader:
        """The reader of a model folder. With an open vocabulary, a table is ignored.

        Raises:
            InputError: the table is damaged; names the file and the field.
        """
        path = folder / WORDING
        if not path.is_file() or not has_closed_vocabulary(tokenizer):
            return cls(tokenizer)
        try:
            table = config.read_config(path, WordingTable)
        except InputError as error:
            remedy = ", or ".join(part for part in (error.remedy, "correct, restore or remove the file") if part)
            raise InputError(error.field, error.problem, remedy) from error
        return cls(tokenizer, Wording(table, lambda word: not unknown_words(tokenizer, word)))

    def save(self, folder: Path) -> None:
        """Write the table, if there is one."""
        if self.wording is not None:
            write_json(folder / WORDING, config.to_dict(self.wording.table))

    def __call__(self, prompt: str) -> str:
        """As :meth:`read`, with logging."""
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
        """Tokens that the text encoder accepts, start and end included."""
        return int(self.tokenizer.model_max_length)

    def read(self, prompt: str) -> str:
        """The text that is encoded for a prompt: the prompt itself, or its translation by the model's table."""
        return prompt if self.wording is None else self.wording(prompt)

    def unknown(self, prompt: str) -> list[str]:
        """Words of a prompt, as read, that the text encoder does not know; empty for an open vocabulary."""
        return unknown_words(self.tokenizer, self.read(prompt))

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt, as read, that does not fit in the text encoder; "" for none."""
        return words_cut_off(self.tokenizer, self.read(prompt))
