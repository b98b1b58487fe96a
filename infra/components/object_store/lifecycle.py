"""How long any site's object store keeps what is no longer wanted; live objects are never expired by the store."""

NONCURRENT_DAYS = 30
"""Overwritten and deleted objects can be taken back for so long."""

ABANDONED_UPLOAD_DAYS = 3
"""Parts of uploads that were never finished."""
