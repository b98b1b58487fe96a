"""Uploads: from what a person has on a disk to a checked, immutable data set version. Everything that arrives is held to be hostile."""
