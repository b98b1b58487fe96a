"""A resource provider for Pulumi's engine that stands in for AWS, Google Cloud or Azure: the same protocol, no cloud behind it.

What it proves and what it cannot stands in docs/decisions/0015-a-stand-in-for-three-clouds.md.
"""
