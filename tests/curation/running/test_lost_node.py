"""A Ray cluster loses a node in the middle of a run; in a process of its own, as Ray is one thing per process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.curation.running.runs import contents

ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys
from pathlib import Path
from ray.cluster_utils import Cluster
from mask2iv.curation.running.run import curate
from mask2iv.scaling.processes import ProcessCrew
from mask2iv.scaling.ray import RayCrew
from tests.curation.running.runs import CONFIG
from tests.curation.running.troubles import DrawnSource

source, out = DrawnSource(Path(sys.argv[1])), Path(sys.argv[2])
small = {"num_cpus": 1, "object_store_memory": 100 * 1024 * 1024}
cluster = Cluster(initialize_head=True, head_node_args=small)
other = cluster.add_node(**small)
cluster.wait_for_nodes()

class Losing(DrawnSource):
    '''Takes the other node away when half of the recordings have been asked for.'''

    def entries(self):
        for number, entry in enumerate(super().entries()):
            if number == 8:
                cluster.remove_node(other, allow_graceful=False)
            yield entry

crew = RayCrew(cluster.address, 2)
result = curate(Losing(source.root), out / "disturbed", CONFIG, crew)
print("failures", len(result.failures), "clips", result.clips)
curate(source, out / "quiet", CONFIG, ProcessCrew(1))
"""


@pytest.mark.slow
def test_a_lost_node_costs_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    root = tmp_path / "drawn"
    root.mkdir()
    for number in range(16):
        (root / f"take{number:02d}.txt").write_text(f"{1 + number % 4}\n")
    path = os.pathsep.join([str(ROOT), *sys.path])
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert result.returncode == 0, result.stderr
    assert "failures 0 clips 16" in result.stdout
    assert contents(tmp_path / "disturbed") == contents(tmp_path / "quiet")
