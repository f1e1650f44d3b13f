"""Trajectories edited by hand: a script of edits with its undo and redo, of a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mask2iv.contract import Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.editing.checks import Finding, validate
from mask2iv.trajectories.editing.replay import apply
from mask2iv.trajectories.editing.script import EditScript, read_script, script_of
from mask2iv.trajectories.morphology import contact_map

_MOST_SCRIPT_BYTES = 4_000_000


@dataclass(eq=False)
class Editing:
    """The edits of one trajectory.

    Attributes:
        original: before all edits.
        trajectory: with them.
        script: all that were made and not undone.
    """

    original: Trajectory
    trajectory: Trajectory
    script: EditScript
    _before: list[tuple[EditScript, Trajectory]] = field(default_factory=list)
    _after: list[tuple[EditScript, Trajectory]] = field(default_factory=list)

    @classmethod
    def of(cls, trajectory: Trajectory) -> Editing:
        """Of a trajectory, without edits yet."""
        return cls(trajectory, trajectory, EditScript(1, num_frames=trajectory.num_frames, size=trajectory.size))

    @property
    def undoable(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._before)

    @property
    def redoable(self) -> bool:
        """Whether there is something to do again."""
        return bool(self._after)

    @property
    def contacts(self) -> list[bool]:
        """Of each frame, whether actor and object touch."""
        touching = contact_map(self.trajectory.actor, self.trajectory.object)
        return [bool(frame.any()) for frame in touching]

    @property
    def findings(self) -> list[Finding]:
        """What looks wrong that did not in the original."""
        known = {(one.kind, one.frames) for one in validate(self.original, self.original)}
        return [one for one in validate(self.trajectory, self.original) if (one.kind, one.frames) not in known]

    def edit(self, values: Mapping[str, Any]) -> None:
        """Makes one edit.

        Args:
            values: as it stands in a script's JSON, for example {"op": "hold", "frame": 3, "count": 2}.

        Raises:
            InputError: an unknown operation or value, or an edit that cannot be made; then nothing changes.
        """
        try:
            [edit] = script_of({"version": 1, "edits": [dict(values)]}).edits
            script = replace(self.script, edits=(*self.script.edits, edit))
            # Upon what is there: what pins keep is there what it was, so it is the same as all edits from the start.
            made = apply(self.trajectory, replace(script, edits=(edit,)))
        except InputError as error:
            raise InputError("edit", error.problem, error.remedy) from error
        if made.num_frames != self.original.num_frames:
            raise InputError("edit", f"a video has {self.original.num_frames} frames here", "keep their number")
        self._keep(script, made)

    def load(self, path: Path) -> None:
        """Makes the edits of a script file in place of those that are there; may be undone.

        Raises:
            InputError: no script, one for another trajectory, or one that takes parts from other files.
        """
        if path.suffix.lower() != ".json" or path.stat().st_size > _MOST_SCRIPT_BYTES:
            raise InputError("edits", f"{path.name} is no script of edits", "choose the edits.json of a result")
        try:
            script = read_script(path)
            if any(edit.op == "compose" for edit in script.edits):
                raise InputError("edits", "they take parts from other files", "make them with mask2iv edit")
            made = apply(self.original, script)
        except InputError as error:
            raise InputError("edits", error.problem.replace(str(path), path.name), error.remedy) from error
        if made.num_frames != self.original.num_frames:
            raise InputError("edits", "they change the number of frames", "make them with mask2iv edit")
        self._keep(replace(script, num_frames=made.num_frames, size=made.size), made)

    def undo(self) -> None:
        """Takes the last edit back; without one, nothing happens."""
        if self._before:
            self._after.append((self.script, self.trajectory))
            self.script, self.trajectory = self._before.pop()

    def redo(self) -> None:
        """Makes the edit again that was undone last; without one, nothing happens."""
        if self._after:
            self._before.append((self.script, self.trajectory))
            self.script, self.trajectory = self._after.pop()

    def _keep(self, script: EditScript, made: Trajectory) -> None:
        self._before.append((self.script, self.trajectory))
        self._after.clear()
        self.script, self.trajectory = script, made
