"""Data sets: reading, writing and checking metadata, side files and text sets; torch-free."""
