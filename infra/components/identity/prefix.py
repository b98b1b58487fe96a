"""The part of an object store that a trainer's pods see by their own identity."""

TRAINER_PREFIX = "jobs/"
"""Where :mod:`lorafleet.contracts.layout` puts checkpoints, samples and outputs. Datasets come by presigned grants only."""
