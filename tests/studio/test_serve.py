"""How the studio is served: to this machine alone, leaving nothing behind."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mask2iv.cli import command_class, flags_of, main
from mask2iv.errors import InputError
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.options import Sampling

pytest.importorskip("gradio")


def test_there_is_no_way_to_share_it() -> None:
    flags = flags_of(command_class("studio"))
    assert {"port", "model"} <= set(flags)
    assert not {"share", "host", "server_name"} & set(flags)


def test_it_listens_here_alone_and_leaves_nothing(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mask2iv.studio.page.serve import served

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_SHARE", "True")
    sampling = Sampling(model=str(tiny_model), threads=1)
    with served(0, sampling, Acceleration()) as address:
        where = urlsplit(address)
        assert where.hostname == "127.0.0.1"
        [folder] = tmp_path.glob("mask2iv-studio-*")
        with pytest.raises(InputError, match="port"), served(where.port or 0, sampling, Acceleration()):
            pass
        assert list(tmp_path.glob("mask2iv-studio-*")) == [folder]
    assert not list(tmp_path.glob("mask2iv-studio-*"))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", where.port or 0)) != 0


def test_a_wrong_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["studio", "--port", "99999"]) == 2
    assert "--port" in capsys.readouterr().err
