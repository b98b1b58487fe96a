"""The private network of a site, and its way out."""
