"""Pulumi programs that provision a site: one stack for the cloud, one inside the cluster."""
