"""What the text encoder sees of a prompt, translated by ``wording.json`` of the model folder.

The table belongs to a model as it was trained. It lies beside the components, not in one of them, so that a model
trained further on captions in other words ("a hand lifting a cup") does not inherit it with the tokenizer.
"""

from __future__ import annotations

import logging
import string
import warnings
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from mask2iv import config
from mask2iv.errors import InputError, InputWarning
from mask2iv.files import write_json
from mask2iv.models.text import has_closed_vocabulary, unknown_words, words_cut_off
from mask2iv.prompts.reading import Wording
from mask2iv.prompts.wording import WordingTable, verb_forms

WORDING = "wording.json"
_LOG = logging.getLogger(__name__)
_ACTOR = "a hand"


class PromptWarning(InputWarning):
    """A model does not see all of a prompt, or not its meaning."""


class PromptReader:
    """Reads the prompts of one model. When called, it logs rewritten prompts and warns of what the model does not see.

    Args:
        tokenizer: the model's.
        wording: rewrites prompts in the words of the model's captions. None leaves them unchanged, but for an
            imperative whose form alone the captions do not know: "push the box" is read as "a hand pushing the box".

    Attributes:
        warns: whether it warns. Off where :meth:`problems` are told in another way: a filter of Python's warnings would
            hold for other threads, too.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, wording: Wording | None = None) -> None:
        self.tokenizer, self.wording = tokenizer, wording
        self.warns = True

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
        """As :meth:`read`; warns of unknown words and of what is cut off (:class:`PromptWarning`)."""
        read = self.read(prompt)
        if read != prompt:
            _LOG.info('prompt: "%s" read as "%s"', prompt, read)
        for problem in self.problems([prompt]) if self.warns else ():
            warnings.warn(PromptWarning("prompt", problem), stacklevel=2)
        return read

    def problems(self, prompts: Sequence[str]) -> list[str]:
        """What the model does not see of some prompts: unknown words, and the ends of prompts that are too long."""
        words = dict.fromkeys(word.strip(string.punctuation) or word for one in prompts for word in self.unknown(one))
        found = [f"words that mean nothing to this model: {', '.join(words)}"] if words else []
        too_long = f"longer than the {self.limit} tokens that this model takes"
        return found + [f'{too_long}; it does not see "{cut}"' for one in prompts if (cut := self.cut_off(one))]

    @property
    def limit(self) -> int:
        """Tokens that the text encoder accepts, start and end included."""
        return int(self.tokenizer.model_max_length)

    def read(self, prompt: str) -> str:
        """The text that is encoded for a prompt: the prompt itself, or its translation by the model's table."""
        return self._as_caption(prompt) if self.wording is None else self.wording(prompt)

    def _as_caption(self, prompt: str) -> str:
        """The prompt with its verb in the form that captions have, where they know only that; else unchanged."""
        words = prompt.split()
        for index, word in enumerate(words):
            if not unknown_words(self.tokenizer, word):
                continue
            verb = word.lower().strip(string.punctuation)
            bases = (verb, verb.removesuffix("s"), verb.removesuffix("es"))
            forms = [form for base in bases if base for form in verb_forms(base) if form.endswith("ing")]
            form = next((form for form in forms if not unknown_words(self.tokenizer, form)), None)
            if form is None:
                return prompt
            actor = [_ACTOR] if index == 0 and not unknown_words(self.tokenizer, _ACTOR) else []
            return " ".join([*actor, *words[:index], form, *words[index + 1 :]])
        return prompt

    def unknown(self, prompt: str) -> list[str]:
        """Words of a prompt, as read, that the text encoder does not know; empty for an open vocabulary."""
        return unknown_words(self.tokenizer, self.read(prompt))

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt, as read, that does not fit in the text encoder; "" for none."""
        return words_cut_off(self.tokenizer, self.read(prompt))
