"""How each network is trained: its loss, and how it is measured."""
