"""Gate, Spinnaker's API: what it holds, what would change, and the push that reads back what it wrote."""
