"""``mask2iv studio``: what it is asked. Slow imports are made when it runs, so that ``--help`` is immediate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mask2iv.errors import InputError
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.options import Sampling, optional


@dataclass(frozen=True)
class OpenStudio:
    """The whole method by hand, in a browser: point at an object, say what happens, look at trajectories, render.

    Serves a page on this machine alone (127.0.0.1) until it is interrupted; what was uploaded and made is then removed,
    so download what shall stay. Needs the extra [studio].

        mask2iv studio
        mask2iv studio --port 8000 --model my-model
    """

    acceleration: Acceleration
    port: Annotated[int, tyro.conf.arg(metavar="N")] = 7860
    """To listen on; 0 for any that is free."""
    model: Annotated[str, tyro.conf.arg(metavar="embedded|FOLDER")] = "embedded"
    """The weights that come with the package, or a model folder."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """CPU threads; 0 for PyTorch's choice."""
    segmenter_weights: Annotated[Path | None, optional("FOLDER")] = None
    """A folder with a pair of ONNX files in MobileSAM's format, to find objects with. Default: GrabCut alone."""

    def run(self) -> int:
        from mask2iv.generation.loaded import check_model

        if not 0 <= self.port <= 65535:
            raise InputError("port", f"must be 0 to 65535, found {self.port}")
        check_model("generate", self.model)
        from mask2iv.studio.page.serve import served

        sampling = Sampling(model=self.model, device=self.device, threads=self.threads)
        with served(self.port, sampling, self.acceleration, self.segmenter_weights) as address:
            print(f"mask2iv studio: {address} (Ctrl+C ends it and removes its files)", flush=True)
            self._wait()
        return 0

    def _wait(self) -> None:
        import threading

        threading.Event().wait()
