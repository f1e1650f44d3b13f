"""Meta-World: clip sets of its scripted experts, and plans executed in it.

The simulator lives in an environment of its own (``make metaworld``), since it pins another MuJoCo. What runs there is
:mod:`mask2iv.execution.metaworld.server`; both sides exchange files.
"""
