"""Rows of tensors computed once by frozen networks, kept on disk in shards.

A folder is named by its key, a hash of everything its numbers depend on, so a stale one is never used.

    <key>/contents.json              what the rows are
    <key>/shard-00000.safetensors    rows 0 to 31, and so on; each written whole or not at all

A stopped build continues with the missing shards. Any number of processes may build one folder: each takes shards that
nobody else is building, then waits for the others. The locks are the kernel's and end with their process, so a killed
process blocks nobody. Rows are read from the files on request, so a set may be larger than memory; small sets are kept
on the device from the first use on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from mask2iv.errors import InputError
from mask2iv.files import atomic_write, lock, reason, write_json
from mask2iv.training.inputs.helpers import Prepare, helpers

ROWS_PER_SHARD = 32
"""A stopped build loses at most this many; clips encoded at full size take 84 MB per shard."""
KEPT_BYTES = 2 * 2**30
"""Sets up to this size are kept on the device: reading their rows would cost milliseconds per step."""


class Shards:
    """A complete folder of ``count`` rows."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self._small: bool | None = None
        self._kept: dict[str, torch.Tensor] | None = None

    def __len__(self) -> int:
        return self.count

    def row(self, index: int) -> dict[str, torch.Tensor]:
        """The tensors of a row, [1, ...] each.

        Raises:
            InputError: a shard was removed or damaged since the folder was opened.
        """
        shard, row = divmod(index, ROWS_PER_SHARD)
        # Opened for each row, which takes microseconds: no limit on shards, nothing to share between processes.
        with _opened(_shard_path(self.folder, shard)) as file:
            return {name: file.get_slice(name)[row : row + 1] for name in file.keys()}  # noqa: SIM118

    def rows(self, indices: Sequence[int], device: torch.device) -> dict[str, torch.Tensor]:
        """The tensors of these rows, [B, ...] each, on a device.

        Raises:
            InputError: as :meth:`row`.
        """
        if self._small is None:
            # Checked once: for a large set, every step would look at all files.
            self._small = self._size() <= KEPT_BYTES
            self._kept = self._all(device) if self._small else None
        if self._kept is not None and next(iter(self._kept.values())).device == device:
            index = torch.tensor(list(indices), device=device)
            return {name: value[index] for name, value in self._kept.items()}
        found = [self.row(index) for index in indices]
        return {name: _joined([row[name] for row in found]).to(device) for name in found[0]}

    def _size(self) -> int:
        """Bytes of all shards."""
        try:
            return sum(_shard_path(self.folder, shard).stat().st_size for shard in range(_shard_count(self.count)))
        except OSError as error:
            raise _unreadable(Path(error.filename), error) from error

    def _all(self, device: torch.device) -> dict[str, torch.Tensor]:
        parts: dict[str, list[torch.Tensor]] = {}
        for shard in range(_shard_count(self.count)):
            with _opened(_shard_path(self.folder, shard)) as file:
                for name in file.keys():  # noqa: SIM118
                    parts.setdefault(name, []).append(file.get_tensor(name).to(device))
        return {name: _joined(values) for name, values in parts.items()}


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    # Autocast to bfloat16 has no rule for joining float16.
    with torch.autocast(parts[0].device.type, enabled=False):
        return torch.cat(list(parts))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(str(path), f"this part of the cache cannot be read: {reason(error)}", "start again to rebuild it")


def build_shards(
    count: int,
    compute: Callable[[Any], dict[str, torch.Tensor]],
    key: str,
    root: Path,
    contents: dict[str, Any],
    label: str,
    prepare: Prepare | None = None,
) -> Shards:
    """The folder of this key below `root`; missing shards are computed now.

    Args:
        count: number of rows.
        compute: a row's tensors, [1, ...] each, from its index, or from what ``prepare`` returns for it.
        key: hash of everything that the rows depend on.
        root: folder of such folders.
        contents: what the rows are, stored beside them.
        label: text of the progress bar.
        prepare: the part of the work that may run in other processes, see
            :func:`mask2iv.training.inputs.helpers.helpers`.
    """
    folder = root / key[:16]
    total = _shard_count(count)
    missing = [shard for shard in range(total) if not _is_done(folder, shard, key)]
    if missing and not (folder / "contents.json").is_file():
        write_json(folder / "contents.json", {"key": key, "rows": count, "rows_per_shard": ROWS_PER_SHARD, **contents})
    if not missing:
        return Shards(folder, count)
    with (
        tqdm(total=total, initial=total - len(missing), unit="shard", desc=label) as bar,
        nullcontext(iter) if prepare is None else helpers(prepare) as prepared,
    ):
        for wait in (False, True):
            left = []
            for shard in missing:
                with _locked(_shard_path(folder, shard).with_suffix(".lock"), wait) as held:
                    if not held:
                        left.append(shard)
                        continue
                    if not _is_done(folder, shard, key):
                        given = prepared(range(shard * ROWS_PER_SHARD, count)[:ROWS_PER_SHARD])
                        _write_shard(map(compute, given), shard, key, folder)
                    bar.update()
            missing = left
    return Shards(folder, count)


def _write_shard(made: Iterable[dict[str, torch.Tensor]], shard: int, key: str, folder: Path) -> None:
    rows = list(made)
    tensors = {name: torch.cat([row[name].cpu() for row in rows]).contiguous() for name in rows[0]}
    with atomic_write(_shard_path(folder, shard)) as temporary:
        save_file(tensors, temporary, metadata={"key": key})


def _shard_count(rows: int) -> int:
    return -(-rows // ROWS_PER_SHARD)


def _shard_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.safetensors"


def _is_done(folder: Path, shard: int, key: str) -> bool:
    path = _shard_path(folder, shard)
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return bool((file.metadata() or {}).get("key") == key)
    except (OSError, SafetensorError):
        return False


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[bool]:
    """Holds the lock at `path`; yields False if another process has it and `wait` is not set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            held = lock(file, wait)
        except OSError as error:
            # A file system without locks: work may be done twice, but stays correct, since files appear whole.
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):
                raise
            held = True
        yield held
        if held:
            # Whoever waits for this file looks for the shard next, and finds it.
            path.unlink(missing_ok=True)
