"""``python train.py --config configs/default.yaml [key=value …]``: the same as ``lorafleet train``."""

import sys

from lorafleet.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *(word.removeprefix("--config=") for word in sys.argv[1:] if word != "--config")]))
