"""What runs inside a site's cluster: the same program for every cloud, and for a cluster of one's own."""
