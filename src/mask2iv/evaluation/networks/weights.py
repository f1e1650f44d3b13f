"""Which weights a metric needs, where they are, and what is missing without them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mask2iv.errors import InputError
from mask2iv.files import reason, require_file, sha256_file

METRICS = ("psnr", "ssim", "lpips", "fvd", "fvd-sim", "fid", "v2v", "t2v", "interaction")
"""What can be measured, by the name that ``--metrics`` takes."""
NEEDS = {"fvd": "fvd", "fid": "fid", "v2v": "video-text", "t2v": "video-text"}
"""Metric to the name of the weights that it cannot do without."""
_OPTIONAL = ("lpips", "fvd-sim", "sam2")
"""Weights of metrics that can do without: some ship, and masks of simulated clips need none."""
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
"""The exact command that gets each kind of weights. The digest of a TorchScript file is for the user to state."""


@dataclass(frozen=True)
class Weights:
    """Where the weights of a metric are.

    Attributes:
        name: a value of :data:`NEEDS`, "lpips", "fvd-sim" or "sam2".
        place: a file, or the name of one on the hub, OWNER/REPOSITORY/FILE; for video-text and sam2 a folder, or the
            name of a repository.
        sha256: stated digest of a file, checked; None where none was stated.
    """

    name: str
    place: str
    sha256: str | None = None

    @property
    def file(self) -> Path:
        """The file, brought from the hub if it lies there, and checked to have the stated digest.

        Raises:
            InputError: it is not to be had, or has another digest.
        """
        path = self._fetched()
        require_file(path, f"--weights {self.name}")
        if self.sha256 is not None:
            found = sha256_file(path)
            if found != self.sha256:
                raise InputError(f"--weights {self.name}: {self.place} has sha256 {found}, not {self.sha256}")
        return path

    def _fetched(self) -> Path:
        """The file on disk; one that is named but not there may be on the hub."""
        named = _ON_THE_HUB.fullmatch(self.place)
        if named is None or Path(self.place).exists() or self.name in ("video-text", "sam2", "fvd-sim"):
            return Path(self.place)
        from huggingface_hub import hf_hub_download

        repository, name = named.groups()
        try:
            return Path(hf_hub_download(repository, name))
        except (OSError, ValueError) as error:
            raise InputError(
                f"--weights {self.name}: {self.place} is no file here, and cannot be had from the hub: {reason(error)}"
            ) from error

    def torchscript(self) -> torch.jit.ScriptModule:
        """The TorchScript module in the file. It is a program, so it runs only if its digest was stated.

        Raises:
            InputError: no digest was stated, it differs, or the file is no such module.
        """
        if self.sha256 is None:
            raise InputError(
                f"--weights {self.name}: {self.place} is a TorchScript program and runs only with a stated digest; if "
                f"you trust its source, give {self.name}={self.place}@sha256:{sha256_file(self.file)}"
            )
        path = self.file
        try:
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise InputError(f"--weights {self.name}: {path} is not a TorchScript module: {error}") from error
        return module.eval()

    def identity(self) -> dict[str, str]:
        """What the protocol says of them: the last name and digest of a file or folder, or a hub repository's name."""
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
        InputError: another form, an unknown name or one twice.
    """
    known = sorted({*NEEDS.values(), *_OPTIONAL})
    found: dict[str, Weights] = {}
    for entry in entries:
        match = re.fullmatch(r"([a-z0-9-]+)=(.+?)(?:@sha256:([0-9a-fA-F]{64}))?", entry)
        if match is None or "@sha256:" in match[2]:
            raise InputError(f"--weights {entry!r}: expected NAME=PLACE or NAME=FILE@sha256:64 hexadecimal digits")
        name, place, digest = match.groups()
        if name not in known:
            raise InputError(f"--weights {entry!r}: {name!r} is not one of {', '.join(known)}")
        if name in found:
            raise InputError(f"--weights: {name} is given twice; keep one")
        found[name] = Weights(name, place, digest.lower() if digest else None)
    return found


def choose_metrics(text: str | None) -> tuple[str, ...]:
    """Names with commas between them, in the order of :data:`METRICS`; None means all but FID.

    Raises:
        InputError: an unknown name.
    """
    if text is None:
        return tuple(name for name in METRICS if name != "fid")
    wanted = [name.strip() for name in text.split(",")]
    unknown = [name for name in wanted if name not in METRICS]
    if unknown:
        raise InputError(f"--metrics: {unknown[0]!r} is not a metric; choose of {', '.join(METRICS)}")
    return tuple(name for name in METRICS if name in wanted)


def unavailable(wanted: Iterable[str], given: Mapping[str, Weights]) -> dict[str, str]:
    """Metrics whose weights are not given, each with the command that gets them."""
    return {
        name: f"its weights are not given; get them by: {HOW_TO_GET[NEEDS[name]]}"
        for name in wanted
        if name in NEEDS and NEEDS[name] not in given
    }
