"""lorafleet: keep LoRA training alive across clouds."""

__version__ = "0.1.0"
