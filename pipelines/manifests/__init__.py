"""Kubernetes objects of a release as plain dicts. What outlives a release (namespace, accounts, Secrets, volumes) is infra's."""
