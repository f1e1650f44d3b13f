from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    """Tables, trajectories and training targets of the original sampler and schedule."""
    return load_file(GOLDEN / "ddim_512.safetensors")


@pytest.fixture(scope="session")
def facts() -> dict[str, Any]:
    """What the tensors mean: settings of each trajectory, step counts, timesteps."""
    return json.loads((GOLDEN / "ddim_512.json").read_text())


@pytest.fixture(scope="session")
def analytic_network(golden: dict[str, torch.Tensor]):
    """The stand-in for the network with which the golden trajectories were made."""
    c_concat, fs = golden["traj.c_concat"], golden["traj.fs"]

    def predict(z: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        shape = (-1, 1, 1, 1, 1)
        m = context.mean(dim=(1, 2)).reshape(shape)
        time = (t.float() / 1000).reshape(shape)
        return (
            0.3 * z
            + 0.1 * torch.sin(z)
            + 0.02 * time
            + 0.05 * c_concat
            + 0.2 * m * torch.cos(z)
            + 0.001 * fs.float().reshape(shape)
        )

    return predict
