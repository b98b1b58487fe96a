"""Ids: the readable part of a name and random characters, as :data:`lorafleet.contracts.layout.ID` allows."""

import re
import secrets

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_RANDOM = 10
_READABLE = 40


def new_id(name: str, otherwise: str) -> str:
    """An id such as ``cyberpunk-city-k3v9q2mwpa``; ``otherwise`` leads where the name has no letters that an id may have."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower())[:_READABLE].strip("-") or otherwise
    return f"{readable}-{''.join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))}"
