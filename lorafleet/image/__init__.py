"""The trainer's image: built once, copied by digest to every cloud's registry, signed, and released."""
