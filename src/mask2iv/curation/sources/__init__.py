"""Where recordings come from: public data sets and the user's own folders, one file each."""
