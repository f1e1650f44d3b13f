"""What a local Ray opens to others."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed")

PROGRAM = """
from mask2iv.scaling.ray import RayCrew

crew = RayCrew("local", 1)
print(dict(crew.work(lambda: lambda item: item + 1, [1])))
from ray._raylet import get_authentication_mode
print("token" if get_authentication_mode() == 1 else "open")
import os
from contextlib import suppress
from pathlib import Path

own = set()
for folder in Path("/proc").glob("[0-9]*"):
    with suppress(OSError):
        if os.environ["MARK"].encode() in (folder / "environ").read_bytes():
            own |= {os.readlink(file) for file in (folder / "fd").iterdir() if file.exists() or file.is_symlink()}
for name in ("tcp", "tcp6"):
    for line in Path("/proc/net", name).read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == "0A" and f"socket:[{line.split()[9]}]" in own:
            print("listens", local)
"""


@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="needs Linux's list of sockets")
def test_a_local_ray_listens_on_the_loopback_interface_only() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MARK": f"mark-{secrets.token_hex(8)}"},
    )
    lines = result.stdout.splitlines()
    assert "{1: 2}" in lines
    assert "token" in lines
    hosts = [line.split()[1].split(":")[0] for line in lines if line.startswith("listens ")]
    # 127.0.0.1 in the order of a little-endian processor, alone or as the end of an IPv6 address.
    assert len(hosts) >= 4
    assert all(host.endswith("0100007F") for host in hosts)
