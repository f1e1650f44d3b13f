"""What a plan was executed under: a manifest beside its journal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mask2iv.config import read_config
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.manifest import hardware, versions

FORMAT = "mask2iv-execution"
_REMEDY = "choose another folder"


def claim(out: Path, plan: str, conditions: Mapping[str, Any]) -> None:
    """Say in ``OUT/PLAN.manifest.json`` what a plan is executed under, or see that its attempts there are of the same.

    Versions and hardware stand in it, too; they may differ between the calls that fill a journal.

    Args:
        out: folder of the journals.
        plan: whose journal is about to grow.
        conditions: what decides the outcome; values as in JSON. A model's name, ``model``, may differ where its digest
            is the same.

    Raises:
        InputError: the journal was made under other conditions, or nothing says under which.
    """
    path = out / f"{plan}.manifest.json"
    if not path.is_file():
        if (out / f"{plan}.jsonl").is_file():
            problem = f"{out} has attempts of {plan}, and no {path.name} says under what they were made"
            raise InputError("out", problem, _REMEDY)
        write_json(path, {"format": FORMAT, **conditions, "versions": versions(), "hardware": hardware()})
        return
    found = read_config(path, dict[str, Any])
    differing = [name for name in conditions if name != "model" and found.get(name) != conditions[name]]
    if differing:
        told = ", ".join(f"{name} {found.get(name)} (now {conditions[name]})" for name in differing)
        raise InputError("out", f"{out} has attempts of {plan} with {told}", _REMEDY)
