"""How long any site's registry keeps images that no tag names."""

UNTAGGED_DAYS = 14
