"""A run's state in pieces: nothing lost, no damage unnoticed, nothing half-written."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from mask2iv.bundle.pieces import MANIFEST, SMALLEST_PIECE, pack, unpack
from mask2iv.cli import main
from mask2iv.errors import InputError
from mask2iv.files import sha256_file, write_json


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A model folder with two complete checkpoints, a cache and the remains of a killed process."""
    folder = tmp_path / "run"
    for name, size in {
        "model_index.json": 50,
        "vae/weights.safetensors": 5000,
        "training/video/log.jsonl": 0,
        "training/video/checkpoint-00000002/state.json": 10,
        "training/video/checkpoint-00000002/model.safetensors": 3000,
        "training/video/checkpoint-00000004/state.json": 10,
        "training/video/checkpoint-00000004/model.safetensors": 3000,
        "training/video/checkpoint-00000006/model.safetensors": 700,
        "training/video/.checkpoint-00000008.ab12/model.safetensors": 100,
        "training/cache/train.safetensors": 9000,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(size))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_pieces_give_back_what_is_needed_to_resume(run: Path, tmp_path: Path) -> None:
    packed = pack(run, tmp_path / "pieces", 2048)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "pieces").glob("part-*"))]
    assert len(sizes) == packed.pieces > 3
    assert set(sizes[:-1]) == {2048}
    assert sizes[-1] <= 2048
    unpack(tmp_path / "pieces", tmp_path / "back")
    kept = {name: data for name, data in contents(run).items() if "cache" not in name and "/." not in name}
    del kept["training/video/checkpoint-00000002/state.json"]
    del kept["training/video/checkpoint-00000002/model.safetensors"]
    assert contents(tmp_path / "back") == kept


def test_the_same_run_gives_the_same_pieces(run: Path, tmp_path: Path) -> None:
    pack(run, tmp_path / "one", 4096)
    for path in run.rglob("*"):
        os.utime(path, (1, 1))
    pack(run, tmp_path / "two", 4096)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_missing_and_damaged_pieces_are_all_named_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    pieces = tmp_path / "pieces"
    pack(run, pieces, 2048)
    for name in ("part-0001", "part-0003"):
        data = bytearray((pieces / name).read_bytes())
        data[100] ^= 1
        (pieces / name).write_bytes(data)
    with pytest.raises(InputError, match=r"part-0001, part-0003 .*SHA-256"):
        unpack(pieces, tmp_path / "back")
    (pieces / "part-0000").unlink()
    (pieces / "part-0002").unlink()
    with pytest.raises(InputError, match="lacks part-0000, part-0002 of"):
        unpack(pieces, tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pieces", "run"]


def test_a_shortened_piece_is_damaged(run: Path, tmp_path: Path) -> None:
    pack(run, tmp_path / "pieces", 2048)
    os.truncate(tmp_path / "pieces" / "part-0002", 5)
    with pytest.raises(InputError, match="part-0002"):
        unpack(tmp_path / "pieces", tmp_path / "back")


def pieces_of(folder: Path, member: tarfile.TarInfo, data: bytes = b"") -> Path:
    """Pieces with valid sums around one tar member, as an attacker would make them."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(member, io.BytesIO(data))
    folder.mkdir()
    (folder / "part-0000").write_bytes(stream.getvalue())
    piece = {"name": "part-0000", "size": len(stream.getvalue()), "sha256": sha256_file(folder / "part-0000")}
    write_json(folder / MANIFEST, {"format": "mask2iv-pieces", "version": 1, "pieces": [piece]})
    return folder


@pytest.mark.parametrize("name", ["../outside", "inside/../../outside"])
def test_nothing_is_written_outside(name: str, tmp_path: Path) -> None:
    member = tarfile.TarInfo(name)
    member.size = 3
    with pytest.raises(InputError, match="outside"):
        unpack(pieces_of(tmp_path / "pieces", member, b"bad"), tmp_path / "below" / "back")
    assert not list(tmp_path.rglob("outside"))
    assert not (tmp_path / "below" / "back").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(InputError, match=r"^pieces: 'link' in .* is not a plain file"):
        unpack(pieces_of(tmp_path / "pieces", member), tmp_path / "back")


@pytest.mark.parametrize(
    "change",
    [
        {"pieces": [{"name": "../../etc/passwd", "size": 1, "sha256": "0"}]},
        {"pieces": []},
        {"pieces": "part-0000"},
        {"format": "another"},
        {"version": 2},
    ],
)
def test_foreign_manifests_are_refused(change: dict[str, object], run: Path, tmp_path: Path) -> None:
    pack(run, tmp_path / "pieces", 1 << 20)
    manifest = tmp_path / "pieces" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(InputError, match=MANIFEST):
        unpack(tmp_path / "pieces", tmp_path / "back")


def test_a_link_in_the_run_is_named(run: Path, tmp_path: Path) -> None:
    (run / "reference_decoder").symlink_to(run / "vae")
    with pytest.raises(InputError, match="reference_decoder is a link"):
        pack(run, tmp_path / "pieces", 4096)
    assert not (tmp_path / "pieces").exists()


def test_pieces_do_not_replace_other_things(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^out: .* must not be within each other"):
        pack(run, run / "pieces", 4096)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="letters"):
            pack(run, tmp_path / "letters", 4096, overwrite)
    assert contents(tmp_path / "letters") == {"one.txt": b"dear"}
    pack(run, tmp_path / "pieces", 4096)
    pack(run, tmp_path / "pieces", 2048, overwrite=True)
    assert (tmp_path / "pieces" / "part-0000").stat().st_size == 2048
    unpack(tmp_path / "pieces", tmp_path / "back")
    assert "model_index.json" in contents(tmp_path / "back")


def test_pieces_have_a_least_size(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(run), "--out", str(tmp_path / "pieces"), "--piece-size", str(SMALLEST_PIECE - 1)]) == 2
    assert "--piece-size: must be at least 1024 bytes, found '1023'" in capsys.readouterr().err


def test_command_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pieces, back = str(tmp_path / "pieces"), str(tmp_path / "back")
    assert main(["pack", str(run), "--out", pieces, "--piece-size", "4KiB"]) == 0
    assert main(["unpack", pieces, "--out", back]) == 0
    assert "5 pieces" in capsys.readouterr().out
    assert main(["unpack", pieces, "--out", back]) == 2
    assert main(["pack", str(tmp_path / "nowhere"), "--out", pieces]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
