"""What the console decides, without I/O."""
