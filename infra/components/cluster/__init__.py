"""The managed control plane."""
