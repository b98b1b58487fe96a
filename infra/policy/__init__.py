"""The policy pack: what a reviewer of a site would ask for, held in every preview and update. ``__main__`` alone makes the pack."""
