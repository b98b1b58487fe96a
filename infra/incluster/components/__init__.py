"""Components of the in-cluster stack, one for each concern."""
