"""The customer's key that everything in a site is encrypted with."""
