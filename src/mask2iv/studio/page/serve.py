"""The studio as a server on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.options import Sampling
from mask2iv.segmentation.interfaces import Segmenter
from mask2iv.segmentation.pretrained import load_segmenter
from mask2iv.studio.drawing import MOST_BYTES
from mask2iv.studio.sessions import Sessions
from mask2iv.studio.steps import Studio
from mask2iv.studio.worker import Worker

HOST = "127.0.0.1"
"""The only address it listens on."""
_MOST_EVENTS = 64
"""Events that wait in Gradio's queue, of all users; one more is refused."""


@contextmanager
def served(
    port: int, sampling: Sampling, acceleration: Acceleration, segmenter_weights: Path | None = None
) -> Iterator[str]:
    """Serves the studio while the block runs; then all its files are removed.

    Args:
        port: to listen on; 0 for any that is free.
        sampling: model, device and threads; its seed and steps are the page's matter.
        acceleration: speed and memory of the model.
        segmenter_weights: folder of an ONNX pair, for a second way to find objects.

    Yields:
        The address of the page.

    Raises:
        InputError: Gradio is not installed, the model cannot be loaded, or the port is taken.
    """
    require("gradio", "the studio")
    from mask2iv.studio.page.app import build, look

    segmenters: dict[str, Segmenter] = {"grabcut": load_segmenter("grabcut", None)}
    if segmenter_weights is not None:
        segmenters = {"onnx": load_segmenter("onnx", segmenter_weights), **segmenters}
    root = Path(tempfile.mkdtemp(prefix="mask2iv-studio-"))
    before = os.environ.get("GRADIO_TEMP_DIR")
    # Where Gradio keeps what is uploaded, and finds what it may show.
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    studio = None
    page: Any = None
    try:
        studio = Studio(Sessions(root), Worker(lambda: _loaded(sampling, acceleration)), sampling, segmenters)
        studio.worker.wait_until_ready()
        page = build(studio)
        page.queue(max_size=_MOST_EVENTS, default_concurrency_limit=None)
        yield _launched(page, port, look())
    finally:
        if page is not None:
            page.close(verbose=False)
        if studio is not None:
            studio.close()
        shutil.rmtree(root, ignore_errors=True)
        if before is None:
            os.environ.pop("GRADIO_TEMP_DIR", None)
        else:
            os.environ["GRADIO_TEMP_DIR"] = before


def _launched(page: Any, port: int, look: dict[str, Any]) -> str:
    try:
        _, address, _ = page.launch(
            server_name=HOST,
            server_port=port or _free_port(),
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            max_file_size=MOST_BYTES,
            ssr_mode=False,
            enable_monitoring=False,
            mcp_server=False,
            run_history=False,
            footer_links=["api"],
            **look,
        )
    except OSError as error:
        raise InputError("port", f"{port} cannot be listened on", "choose another one, or 0 for a free one") from error
    return str(address)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _loaded(sampling: Sampling, acceleration: Acceleration) -> Any:
    from mask2iv.generation.loaded import LoadedModel

    return LoadedModel("generate", sampling, acceleration, progress=False)
