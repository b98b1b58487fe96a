"""Nodes: the system pool, and GPU pools that grow from zero."""
