"""The tokenizer of the original models: CLIP's byte-pair encoding, built from a vocabulary that the user supplies.

The vocabulary (1.4 MB) is not included here. The package open_clip_torch and every CLIP model folder contain it.
"""

from __future__ import annotations

import gzip
import importlib.util
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mask2iv.config import read_config
from mask2iv.errors import InputError, within
from mask2iv.files import reason
from mask2iv.models.text import END, REMEDY, START

_MOST_BYTES = 64 << 20
BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"
# CLIP's words: contractions, runs of letters, single digits, runs of other non-space characters.
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# Of the reference's text cleaning, what people do type: typographic quotes and HTML escapes.
_CLEANED = (
    (Regex("[\u02bc\u2018-\u201b]"), "'"),
    (Regex("[\u201c-\u201f]"), '"'),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", '"'),
    ("&#39;", "'"),
    ("&amp;", "&"),
)


@dataclass(frozen=True)
class Vocabulary:
    """A byte-pair encoding.

    Attributes:
        ids: id of each piece; the start and end tokens have the two highest.
        merges: pairs of pieces to join, most frequent first.
    """

    ids: Mapping[str, int]
    merges: Sequence[tuple[str, str]]


def clip_tokenizer(vocabulary: Vocabulary, max_length: int = 77) -> PreTrainedTokenizerFast:
    """CLIP's tokenizer. :func:`mask2iv.models.text.token_ids` pads with id 0 after the end token.

    Raises:
        InputError: pieces and merges that do not fit together.
    """
    start, end = len(vocabulary.ids) - 2, len(vocabulary.ids) - 1
    special = {start: START, end: END}
    # The names of the special tokens vary between sources; only the ids matter.
    ids = {special.get(index, piece): index for piece, index in vocabulary.ids.items()}
    try:
        model = models.BPE(ids, list(vocabulary.merges), end_of_word_suffix="</w>", unk_token=END)
    except Exception as error:  # tokenizers has no class for it
        raise InputError("tokenizer", f"its pieces and merges do not fit together: {reason(error)}", REMEDY) from error
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]
        [
            normalizers.NFC(),
            *(normalizers.Replace(pattern, plain) for pattern, plain in _CLEANED),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return _finished(tokenizer, start, end, max_length)


def empty_prompt_tokenizer(vocabulary_size: int, max_length: int = 77) -> PreTrainedTokenizerFast:
    """A tokenizer without words, only start and end token, for models that encode nothing but the empty prompt."""
    start, end = vocabulary_size - 2, vocabulary_size - 1
    return _finished(Tokenizer(models.WordLevel({START: start, END: end}, unk_token=END)), start, end, max_length)


def _finished(tokenizer: Tokenizer, start: int, end: int, max_length: int) -> PreTrainedTokenizerFast:
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_length, bos_token=START, eos_token=END
    )


def find_vocabulary(source: str | None, vocabulary_size: int) -> Vocabulary | None:
    """The vocabulary at `source`; without `source`, that of an installed open_clip, or None.

    Args:
        source: a folder with tokenizer.json, or with vocab.json and merges.txt; the file
            bpe_simple_vocab_16e6.txt.gz, or the open_clip_torch wheel that contains it; or a hub id.
        vocabulary_size: number of pieces that the text encoder knows.

    Raises:
        InputError: `source` is none of these, cannot be read, or has another size.
    """
    if source is None:
        path = _installed()
        return None if path is None else _from_bpe(_expanded(path), vocabulary_size, str(path))
    path = Path(source)
    try:
        if path.is_dir():
            found = _from_folder(path)
        elif path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel, wheel.open(f"open_clip/{BPE_FILE}") as file:
                found = _from_bpe(_expanded(file), vocabulary_size, source)
        elif path.is_file():
            found = _from_bpe(_expanded(path), vocabulary_size, source)
        else:
            found = _from_hub(source)
    except InputError:
        raise
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, ValueError) as error:
        raise InputError(
            "tokenizer",
            f"{source} cannot be read ({reason(error)})",
            f"give a folder with vocab.json and merges.txt or tokenizer.json, {BPE_FILE}, or the open_clip_torch wheel",
        ) from error
    _check(found, vocabulary_size, source)
    return found


def _check(vocabulary: Vocabulary, size: int, source: str) -> None:
    ids = vocabulary.ids.values()
    if len(ids) != size or set(ids) != set(range(size)):
        raise InputError(
            "tokenizer",
            f"the vocabulary of {source} must have the {size} pieces that the text encoder knows, found {len(ids)}",
            "give the one that the model was trained with",
        )


def _installed() -> Path | None:
    """The vocabulary file of an installed open_clip, found without importing it."""
    spec = importlib.util.find_spec("open_clip")
    folders = spec.submodule_search_locations if spec is not None else None
    paths = [Path(folder) / BPE_FILE for folder in folders or ()]
    return next((path for path in paths if path.is_file()), None)


def _expanded(packed: Path | IO[bytes]) -> bytes:
    """A gzip file's content; a small file can expand to gigabytes."""
    with gzip.open(packed) as file:
        text: bytes = file.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError(f"it expands to more than {_MOST_BYTES >> 20} MiB")
    return text


def _from_bpe(text: bytes, vocabulary_size: int, source: str) -> Vocabulary:
    """The vocabulary of a merges file with a heading line, which may hold more merges than the vocabulary uses."""
    letters = list(bytes_to_letters().values())
    lines = text.decode("utf-8").rstrip("\n").split("\n")[1 : vocabulary_size - 2 * len(letters) - 1]
    merges = [(parts[0], parts[1]) for parts in (line.split() for line in lines) if len(parts) == 2]
    if not merges or len(merges) != len(lines):
        raise InputError("tokenizer", f"{source} is not a merges file", f"give {BPE_FILE} as open_clip ships it")
    pieces = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    vocabulary = Vocabulary({piece: index for index, piece in enumerate(pieces)}, merges)
    _check(vocabulary, vocabulary_size, source)
    return vocabulary


def _from_folder(folder: Path) -> Vocabulary:
    if (folder / "tokenizer.json").is_file():
        return _from_tokenizer_json(folder / "tokenizer.json")
    if not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise InputError("tokenizer", f"{folder} has neither tokenizer.json nor vocab.json and merges.txt", REMEDY)
    return _from_vocab_and_merges(folder / "vocab.json", folder / "merges.txt")


def _from_vocab_and_merges(vocab: Path, merges: Path) -> Vocabulary:
    try:
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("tokenizer", f"{merges} cannot be read: {reason(error)}", REMEDY) from error
    pairs = [tuple(line.split()) for line in lines if line and not line.startswith("#version")]
    with within("tokenizer"):
        ids = read_config(vocab, dict[str, int])
    return _vocabulary(ids, pairs, vocab)


@dataclass(frozen=True)
class _BytePairs:
    """The model in ``tokenizer.json``."""

    vocab: dict[str, int]
    merges: list[str | list[str]]


@dataclass(frozen=True)
class _Tokenizer:
    """``tokenizer.json``, as far as it is read."""

    model: _BytePairs


def _from_tokenizer_json(path: Path) -> Vocabulary:
    with within("tokenizer"):
        model = read_config(path, _Tokenizer, "ignore").model
    pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model.merges]
    return _vocabulary(model.vocab, pairs, path)


def _vocabulary(ids: Mapping[str, int], pairs: Sequence[tuple[str, ...]], path: Path) -> Vocabulary:
    if not ids or not all(len(pair) == 2 and "".join(pair) in ids for pair in pairs):
        raise InputError("tokenizer", f"{path} holds no byte-pair encoding", REMEDY)
    return Vocabulary(dict(ids), [(pair[0], pair[1]) for pair in pairs])


def _from_hub(name: str) -> Vocabulary:
    from huggingface_hub import hf_hub_download

    try:
        vocab, merges = (Path(hf_hub_download(name, file)) for file in ("vocab.json", "merges.txt"))
    except Exception as error:  # the errors of network, hub and name have no common class
        problem = f"{name} is neither a file or folder nor available from the hub ({reason(error)[:200]})"
        raise InputError("tokenizer", problem, REMEDY) from error
    return _from_vocab_and_merges(vocab, merges)


def bytes_to_letters() -> dict[int, str]:
    """The printable letter that stands for each byte, in the order of CLIP's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}
