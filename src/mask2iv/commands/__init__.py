"""What each command of the command line does; :mod:`mask2iv.cli` only parses and dispatches."""
