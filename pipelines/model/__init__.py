"""Spinnaker's own things as frozen dataclasses; its exact names stand in ``to_json`` alone."""
