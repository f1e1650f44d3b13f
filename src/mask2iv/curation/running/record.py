"""What is written beside a set about its run: ``manifest.json``, and ``failures.json`` where work failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from mask2iv.config import to_dict
from mask2iv.curation.running.ledger import LEDGER
from mask2iv.curation.running.settings import CurationConfig, FindingConfig
from mask2iv.curation.sources.interfaces import Source
from mask2iv.files import sha256_file, write_json
from mask2iv.manifest import hardware, versions
from mask2iv.scaling.interfaces import Crew, Failure
from mask2iv.segmentation.pretrained import weight_files

MANIFEST = "manifest.json"
FAILURES = "failures.json"


def write_manifest(
    out: Path, source: Source, config: CurationConfig, crew: Crew, counts: Mapping[str, int], seconds: float
) -> None:
    """Write what made a set: inputs and weights by their hashes, settings, seeds, versions, hardware.

    It is of the last run that did something. Each recording's own hash stands in the ledger, whose hash stands here.

    Args:
        out: folder of the set, with its ledger.
        source: of the recordings; config: how they became clips; crew: who did the work.
        counts: what came of it.
        seconds: how long the run took.
    """
    lists = {
        name: _hashed(value)
        for name, value in vars(source).items()
        if name != "root" and isinstance(value, Path) and value.is_file()
    }
    write_json(
        out / MANIFEST,
        {
            "command": "curate",
            "source": {"kind": source.kind, "version": source.version, "path": str(source.root), **lists},
            "ledger": _hashed(out / LEDGER),
            "settings": to_dict(config),
            "seeds": {"splits": config.split_seed},
            "weights": _weights(config.finding),
            "counts": dict(counts),
            "seconds": round(seconds, 3),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "hardware": {**hardware(), "crew": crew.name, "workers": crew.size},
            "versions": versions(),
        },
    )


def write_failures(out: Path, failures: Mapping[str, Failure]) -> None:
    """Write what failed with the tracebacks of defects; without failures the file is removed."""
    if not failures:
        (out / FAILURES).unlink(missing_ok=True)
        return
    entries = [
        {"recording": name, "problem": failures[name].problem, "details": failures[name].details.splitlines()}
        for name in sorted(failures)
    ]
    write_json(out / FAILURES, entries)


def _hashed(path: Path) -> dict[str, str]:
    return {"path": path.name, "sha256": sha256_file(path)}


def _weights(finding: FindingConfig) -> dict[str, dict[str, str]]:
    """SHA-256 of each file of weights, where there are some and this machine has them."""
    found = {
        "detector": weight_files(finding.detector, finding.detector_weights),
        "segmenter": weight_files(finding.segmenter, finding.segmenter_weights),
    }
    return {name: {path.name: sha256_file(path) for path in paths} for name, paths in found.items() if paths}
