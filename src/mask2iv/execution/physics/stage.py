"""A scene of the simulator with dynamics.

Table, room and clutter are fixed; the target is free, its moving part hangs on a hinge or a slide with friction; the
arm is driven by position actuators. Nothing but contact moves the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mask2iv.sim.choreography.actors import Robot
from mask2iv.sim.world.assets.parts import Colour, Geom, ObjectModel, rod
from mask2iv.sim.world.backend import require_mujoco
from mask2iv.sim.world.compiled import CompiledScene, StageBuilder
from mask2iv.sim.world.geometry import UP, Array, Pose, to_quaternion, vec

mujoco = require_mujoco()

TIMESTEP = 0.002
_FIXED, _OBJECT, _ARM, _ROOM = 1, 2, 4, 8
_DENSITY = 300.0
"""Of all objects, kg/m^3; a mesh fills 0.4 of its bounding box."""
MASS = (0.04, 0.4)
"""Range of a rigid object's mass, kg."""
_JOINTED_BASE, _JOINTED_MOVER = 1.5, (0.03, 0.15)
_FRICTION = {"table": 0.6, "clutter": 0.6, "receptacle": 0.6, "room": 0.6, "base": 0.6, "mover": 0.6}
_PAD_FRICTION = 1.5
_HINGE_FRICTION = {"laptop": 0.08, "safe": 0.01}
"""Of a moving part's joint, N m or N; others 0.02, slides 0.4."""
ARM_JOINTS = ("turret", "shoulder", "elbow", "roll", "bend", "twist")
JAWS = ("jaw-right", "jaw-left")
JAW_FORCE = 25.0
"""Largest force of a jaw, N."""


class DynamicBuilder(StageBuilder):
    """A :class:`StageBuilder` whose shapes collide, with a free target and an arm of joints."""

    def __init__(self) -> None:
        super().__init__()
        self.spec.compiler.degree = False
        option = self.spec.option
        option.timestep = TIMESTEP
        option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        option.impratio = 10.0
        option.noslip_iterations = 3

    def _add(self, body: Any, group: str, geom: Geom, pose: Pose) -> Any:
        added = super()._add(body, group, geom, pose)
        arm, thing = group.startswith("actor"), group in ("base", "mover")
        if geom.touch:
            # As in the simulator, arms pass through walls and furniture; they stand against them.
            added.contype = _ARM if arm else _OBJECT if thing else _ROOM if group == "room" else _FIXED
            added.conaffinity = _FIXED if arm else (_FIXED | _ARM | _ROOM) if thing else 0
        added.condim = 6 if thing else 4 if arm else 3
        added.friction = [_PAD_FRICTION if arm else _FRICTION.get(group, 0.6), 0.05 if arm else 0.02, 0.001]
        if not geom.touch:
            added.mass = 0.0
        elif geom.mesh is not None:
            added.mass = 0.4 * float(np.prod(np.ptp(geom.mesh.vertices, axis=0))) * _DENSITY
        else:
            added.density = _DENSITY
        return added

    def add_target(self, model: ObjectModel, pose: Pose, joint: float) -> None:
        """Add the free target; `joint` is the value of its moving part."""
        body = self.spec.worldbody.add_body(name="target", pos=pose.p, quat=to_quaternion(pose.r))
        body.add_freejoint(name="target")
        base = list(model.base)
        if model.name == "bowl":
            # Its mesh takes no part in contacts, only its rim; without a floor it would sink into the table.
            base.append(rod(vec(0, 0, 0), vec(0, 0, 0.008), model.radius * 0.45, _UNSEEN, "cylinder", visible=False))
        for geom in base:
            self._add(body, "base", geom, geom.pose)
        moved = model.joint
        if moved is None:
            return
        part = body.add_body(name="mover", pos=moved.origin)
        slide = moved.kind == "slide"
        part.add_joint(
            name="mover",
            type=mujoco.mjtJoint.mjJNT_SLIDE if slide else mujoco.mjtJoint.mjJNT_HINGE,
            axis=moved.axis,
            limited=True,
            # A lid opens a little further than the scenes show.
            range=[moved.closed, moved.opened * (1.0 if slide else 1.08)],
            damping=0.5 if slide else 0.005,
            frictionloss=0.4 if slide else _HINGE_FRICTION.get(model.name, 0.02),
            armature=0.0005,
        )
        for geom in model.mover:
            self._add(part, "mover", geom, geom.pose)

    def add_arm(self, robot: Robot) -> None:
        """Add the arm: turret, shoulder, elbow, forearm roll, wrist bend, tool twist, and two jaws."""
        link, parts = robot.link, robot.parts
        y, z = [0, 1, 0], [0, 0, 1]
        turret = self._link(self.spec.worldbody, "turret", robot.base, z, (-3.6, 3.6), parts[0], "actor0", 400, 60)
        upper = self._link(turret, "shoulder", UP * 0.14, y, (-3.0, 0.6), parts[1], "actor1", 600, 90)
        fore = self._link(upper, "elbow", vec(link, 0, 0), y, (-0.3, 3.0), parts[2], "actor2", 500, 60)
        wrist = self._link(fore, "roll", vec(link, 0, 0), [1, 0, 0], (-3.6, 3.6), parts[3], "actor3", 120, 20)
        bend = self._link(wrist, "bend", np.zeros(3), y, (-2.6, 2.6), (), "actor3", 120, 20)
        # The tool's z goes on along the forearm.
        tool = self._link(bend, "twist", np.zeros(3), [1, 0, 0], (-6.5, 6.5), (), "actor4", 80, 12)
        frame = tool.add_body(name="tool", pos=[0.15, 0, 0], quat=to_quaternion(_TOOL), gravcomp=1.0)
        for geom in parts[4]:
            self._add(frame, "actor4", geom, geom.pose)
        frame.add_site(name="tool")
        half_turn = np.diag([-1.0, -1.0, 1.0])
        for name, sign, part, group in ((JAWS[0], 1, parts[5], "actor5"), (JAWS[1], -1, parts[6], "actor6")):
            turn = np.eye(3) if sign > 0 else half_turn
            jaw = frame.add_body(name=name, quat=to_quaternion(turn), gravcomp=1.0)
            slide = mujoco.mjtJoint.mjJNT_SLIDE
            jaw.add_joint(name=name, type=slide, axis=[1, 0, 0], limited=True, range=[0, 0.056], armature=0.05)
            for geom in part:
                self._add(jaw, group, geom, geom.pose)
            self._drive(name, 800.0, 40.0, JAW_FORCE)

    def _link(
        self,
        parent: Any,
        name: str,
        place: Array,
        axis: Sequence[float],
        limits: tuple[float, float],
        geoms: Sequence[Geom],
        group: str,
        stiffness: float,
        torque: float,
    ) -> Any:
        body = parent.add_body(name=name, pos=place, gravcomp=1.0)
        body.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=axis,
            limited=True,
            range=limits,
            armature=0.1,
            damping=0.5,
        )
        for geom in geoms:
            self._add(body, group, geom, geom.pose)
        if not geoms:
            body.mass, body.inertia, body.explicitinertial = 0.05, [1e-4] * 3, True
        self._drive(name, stiffness, 2 * float(np.sqrt(stiffness * 0.15)), torque)
        return body

    def _drive(self, joint: str, stiffness: float, damping: float, limit: float) -> None:
        """A position actuator of a joint: stiffness in N m/rad or N/m."""
        actuator = self.spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=stiffness, kv=damping)
        actuator.forcelimited, actuator.forcerange = True, [-limit, limit]

    def compile(self) -> CompiledScene:
        stage = super().compile()
        model = stage.model
        jointed = any(model.body(i).name == "mover" for i in range(model.nbody))
        limits = {"target": (_JOINTED_BASE, _JOINTED_BASE) if jointed else MASS, "mover": _JOINTED_MOVER}
        for name, (low, high) in limits.items():
            if name == "mover" and not jointed:
                continue
            body = model.body(name).id
            factor = float(np.clip(model.body_mass[body], low, high)) / model.body_mass[body]
            model.body_mass[body] *= factor
            model.body_inertia[body] *= factor
        mujoco.mj_setConst(model, stage.data)
        return stage


_UNSEEN: Colour = (0.5, 0.5, 0.5)
_TOOL = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
"""Rotation of the tool in the last link, whose x is the forearm's."""
