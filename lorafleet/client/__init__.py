"""A Python client of the console's API, and the commands over it."""
