"""Who acts in a site: the trainer's pods, and Spinnaker."""
