"""Container registries: a small client of the OCI distribution API, and the signatures that lie there."""
