"""Spinnaker generators: fleet.yaml becomes pipelines that are linted, drawn, planned, pushed and watched."""
