"""Component resources: one concern a folder, one cloud a module."""
