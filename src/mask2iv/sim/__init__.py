"""Procedural interactions with exact masks: hands or a robot arm handle objects on a table (needs mujoco)."""

from mask2iv.sim.world.backend import require_mujoco

require_mujoco()

from mask2iv.sim.choreography.actions import ACTIONS_OF, VERBS, vocabulary  # noqa: E402
from mask2iv.sim.config import SimConfig  # noqa: E402
from mask2iv.sim.generate import simulate_clip, simulate_clips  # noqa: E402
from mask2iv.sim.sheet import contact_sheet  # noqa: E402
from mask2iv.sim.world.assets.catalogue import HOUSEHOLD, OBJECTS  # noqa: E402
from mask2iv.sim.world.domains import DOMAINS  # noqa: E402
from mask2iv.sim.world.render import Renderer  # noqa: E402

__all__ = [
    "ACTIONS_OF",
    "DOMAINS",
    "HOUSEHOLD",
    "OBJECTS",
    "VERBS",
    "Renderer",
    "SimConfig",
    "contact_sheet",
    "simulate_clip",
    "simulate_clips",
    "vocabulary",
]
