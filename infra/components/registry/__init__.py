"""The registry that the site's nodes pull images from."""
