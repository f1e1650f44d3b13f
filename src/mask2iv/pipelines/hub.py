"""Model folders on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from mask2iv.errors import InputError
from mask2iv.files import reason
from mask2iv.pipelines.folder import model_folder

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_READ = ("*.json", "*.safetensors", "*.txt")
"""The files that a model folder is read from. None of them is unpickled or run."""


def fetch_folder(
    name_or_path: str | Path, revision: str | None = None, token: str | None = None, local_files_only: bool = False
) -> Path:
    """The folder of a model; one that is not here is fetched from the hub, if its name is OWNER/NAME.

    Args:
        name_or_path: "embedded", a folder, or a name on the hub.
        revision: branch, tag or commit there.
        token: for a private repository.
        local_files_only: take only what was fetched before.

    Raises:
        InputError: no such folder, and none on the hub, or it cannot be reached.
    """
    name = str(name_or_path)
    if name == "embedded" or Path(name).is_dir() or not _ID.fullmatch(name):
        return model_folder(name_or_path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(
                name, revision=revision, token=token, local_files_only=local_files_only, allow_patterns=list(_READ)
            )
        )
    except (OSError, ValueError, HfHubHTTPError) as error:
        problem = f"is no folder here, and cannot be fetched from the hub: {reason(error).split('. ')[0]}"
        raise InputError(f"model {name!r}", problem, "give a model folder, 'embedded', or OWNER/NAME") from error
