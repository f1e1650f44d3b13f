"""What planner and painter learn from: of every clip its plan, its masks as distances, and its picture in small."""

from __future__ import annotations
