"""Models of real shape and file format with few random weights, made offline for the demo and the tests."""
