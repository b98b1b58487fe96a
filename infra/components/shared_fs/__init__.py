"""The shared file system: base models and caches, never the only copy of anything."""
