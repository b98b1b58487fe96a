"""The alarm on what a site costs."""
