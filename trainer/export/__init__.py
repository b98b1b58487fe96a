"""Exports: LoRA layers in the formats that other tools load."""
