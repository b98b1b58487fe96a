"""``lorafleet demo``: the whole walk on one machine, from photographs to a LoRA that survives the loss of a site."""
