"""The audit log's chain: each row's digest covers its own content and the digest before it, so that nothing is changed unseen."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

FIRST = "0" * 64
"""What the first row of a team follows."""


def digest(
    before: str, team: str, number: int, at: datetime, actor: str, action: str, target: str, values: Mapping[str, Any]
) -> str:
    """The SHA-256 of a row that follows one with digest ``before``."""
    content = [before, team, number, at.isoformat(timespec="microseconds"), actor, action, target, values]
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
