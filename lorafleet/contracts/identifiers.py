"""Types of the names that the parts share."""

from typing import Annotated

from pydantic import StringConstraints

from lorafleet.contracts.image import DIGEST
from lorafleet.contracts.layout import ID

# Sites, jobs, data sets, applications: what a DNS label allows.
Id = Annotated[str, StringConstraints(pattern=rf"^{ID}$", max_length=63)]

Digest = Annotated[str, StringConstraints(pattern=rf"^{DIGEST}$")]
