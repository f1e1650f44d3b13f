"""An evaluation of a clip set from beginning to end, and several of them side by side."""
