"""``python -m lorafleet``: the command for processes that start it themselves, whatever is on the PATH."""

import sys

from lorafleet.cli import main

sys.exit(main())
