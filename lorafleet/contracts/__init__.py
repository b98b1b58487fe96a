"""What the parts agree on: pure data, no I/O, no torch, no cloud SDK."""
