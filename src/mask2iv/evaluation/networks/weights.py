"""Which weights a metric needs, where they are, and which metrics lack theirs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mask2iv.errors import InputError
from mask2iv.files import reason, require_file, sha256_file

if TYPE_CHECKING:
    import torch

METRICS = ("psnr", "ssim", "lpips", "fvd", "fvd-sim", "fid", "v2v", "t2v", "interaction")
"""Names of all metrics."""
NEEDS = {"fvd": "fvd", "fid": "fid", "v2v": "video-text", "t2v": "video-text"}
"""Metric to the name of the weights that it requires."""
_OPTIONAL = ("lpips", "fvd-sim", "sam2")
"""Optional weights: some ship, and masks of simulated clips need none."""
_ON_THE_HUB = re.compile(r"([\w.-]+/[\w.-]+)/([\w./-]+\.\w+)")
HOW_TO_GET = {
    "fvd": "curl -L -o i3d_torchscript.pt 'https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1' && "
    "sha256sum i3d_torchscript.pt && mask2iv evaluate ... --weights fvd=i3d_torchscript.pt@sha256:DIGEST",
    "fid": "curl -LO https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt && sha256sum inception-2015-12-05.pt && mask2iv evaluate ... "
    "--weights fid=inception-2015-12-05.pt@sha256:DIGEST",
    "video-text": "hf download microsoft/xclip-base-patch32 --local-dir xclip && mask2iv evaluate ... "
    "--weights video-text=xclip",
    "sam2": "hf download facebook/sam2.1-hiera-large --local-dir sam2 && mask2iv evaluate ... --weights sam2=sam2",
}
"""The exact command that gets each kind of weights. The user states the digest of a TorchScript file."""


@dataclass(frozen=True)
class Weights:
    """Where the weights of a metric are.

    Attributes:
        name: a value of :data:`NEEDS`, "lpips", "fvd-sim" or "sam2".
        place: a file, or its name on the hub, OWNER/REPOSITORY/FILE; for video-text and sam2 a folder or the name of
            a repository.
        sha256: stated digest of a file, which is checked; None where none was stated.
    """

    name: str
    place: str
    sha256: str | None = None

    @property
    def _field(self) -> str:
        """What errors call these weights."""
        return f"weights {self.name}"

    @property
    def file(self) -> Path:
        """The file, downloaded from the hub if it is there, and checked against the stated digest.

        Raises:
            InputError: it cannot be found, or has another digest.
        """
        path = self._fetched()
        require_file(path, self._field)
        if self.sha256 is not None:
            found = sha256_file(path)
            if found != self.sha256:
                raise InputError(self._field, f"{self.place} has sha256 {found}, not {self.sha256}")
        return path

    def _fetched(self) -> Path:
        """The file on disk; a name that is not there may be on the hub."""
        named = _ON_THE_HUB.fullmatch(self.place)
        if named is None or Path(self.place).exists() or self.name in ("video-text", "sam2", "fvd-sim"):
            return Path(self.place)
        from huggingface_hub import hf_hub_download

        repository, name = named.groups()
        try:
            return Path(hf_hub_download(repository, name))
        except (OSError, ValueError) as error:
            raise InputError(
                self._field, f"{self.place} is not a file here and cannot be fetched from the hub: {reason(error)}"
            ) from error

    def torchscript(self) -> torch.jit.ScriptModule:
        """The TorchScript module in the file. It is a program, so it runs only if its digest was stated.

        Raises:
            InputError: no digest was stated, it differs, or the file is not a TorchScript module.
        """
        import torch

        if self.sha256 is None:
            raise InputError(
                self._field,
                f"{self.place} is a TorchScript program and runs only with a stated digest",
                f"if you trust its source, give {self.name}={self.place}@sha256:{sha256_file(self.file)}",
            )
        path = self.file
        try:
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise InputError(self._field, f"{path} is not a TorchScript module: {error}") from error
        return module.eval()

    def identity(self) -> dict[str, str]:
        """Their entry in the protocol: name and digest of a file or folder, or a hub repository's name."""
        path = self._fetched()
        if path.is_file():
            return {"name": path.name, "sha256": sha256_file(path)}
        if path.is_dir():
            files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
            digest = hashlib.sha256("".join(sha256_file(file) for file in files).encode())
            return {"name": path.name, "sha256": digest.hexdigest()}
        return {"name": self.place}


def parse_weights(entries: Iterable[str]) -> dict[str, Weights]:
    """``NAME=PLACE`` or ``NAME=FILE@sha256:DIGEST`` entries, by name.

    Raises:
        InputError: another form, an unknown name, or one given twice.
    """
    known = sorted({*NEEDS.values(), *_OPTIONAL})
    found: dict[str, Weights] = {}
    for entry in entries:
        match = re.fullmatch(r"([a-z0-9-]+)=(.+?)(?:@sha256:([0-9a-fA-F]{64}))?", entry)
        if match is None or "@sha256:" in match[2]:
            raise InputError(f"weights {entry!r}", "expected NAME=PLACE or NAME=FILE@sha256:64 hexadecimal digits")
        name, place, digest = match.groups()
        if name not in known:
            raise InputError(f"weights {entry!r}", f"{name!r} is not one of {', '.join(known)}")
        if name in found:
            raise InputError("weights", f"{name} is given twice", "keep one")
        found[name] = Weights(name, place, digest.lower() if digest else None)
    return found


def choose_metrics(text: str | None) -> tuple[str, ...]:
    """Comma-separated names, in the order of :data:`METRICS`; None means all but FID.

    Raises:
        InputError: an unknown name.
    """
    if text is None:
        return tuple(name for name in METRICS if name != "fid")
    wanted = [name.strip() for name in text.split(",")]
    unknown = [name for name in wanted if name not in METRICS]
    if unknown:
        raise InputError("metrics", f"{unknown[0]!r} is not a metric", f"choose from {', '.join(METRICS)}")
    return tuple(name for name in METRICS if name in wanted)


def unavailable(wanted: Iterable[str], given: Mapping[str, Weights]) -> dict[str, str]:
    """Metrics whose weights are not given, each with the command that gets them."""
    return {
        name: f"its weights are not given; get them by: {HOW_TO_GET[NEEDS[name]]}"
        for name in wanted
        if name in NEEDS and NEEDS[name] not in given
    }
