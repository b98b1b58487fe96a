"""The object store: datasets, checkpoints, finished weights."""
