"""Imports what the commands import, so that each forked case need not."""

import importlib
import pkgutil

import mask2iv

for module in pkgutil.walk_packages(mask2iv.__path__, "mask2iv."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
