"""The evaluation of a clip set from start to finish, and the comparison of several."""
