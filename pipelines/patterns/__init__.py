"""Pure functions from a fleet to stages: the branch of a site, the take-back, the two pipelines."""
