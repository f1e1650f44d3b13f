"""Imports what the commands import, so that each forked case need not; Meta-World's server has its own environment."""

import importlib
import pkgutil

import mask2iv

for module in pkgutil.walk_packages(mask2iv.__path__, "mask2iv."):
    if not module.name.endswith("__main__") and not module.name.startswith("mask2iv.execution.metaworld.server"):
        importlib.import_module(module.name)
