"""Model families: what is particular to SD 1.5, SDXL and causal language models."""
