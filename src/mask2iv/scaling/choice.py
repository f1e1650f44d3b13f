"""Which crew the flags ask for."""

from __future__ import annotations

from mask2iv.scaling.interfaces import Crew
from mask2iv.scaling.processes import ProcessCrew


def crew_of(workers: int, ray: str | None, gpus: float = 0.0) -> Crew:
    """The crew of ``--workers`` and ``--ray``.

    Args:
        workers: how many; 0 for one per core.
        ray: address of a cluster, or "local"; None: processes of this machine.
        gpus: share of a GPU that a worker needs; processes of this machine share what is there.

    Raises:
        InputError: see :class:`~mask2iv.scaling.processes.ProcessCrew` and :class:`~mask2iv.scaling.ray.RayCrew`.
    """
    if ray is None:
        return ProcessCrew(workers)
    from mask2iv.scaling.ray import RayCrew

    return RayCrew(ray, workers, gpus)
