"""What a team's secrets may be called and hold: they become environment variables of the team's training processes."""

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr, StringConstraints

NAME_PATTERN = r"^[A-Z][A-Z0-9_]{2,62}$"
MAX_SECRETS = 32
"""How many secrets a team may have."""

SHORTEST, LONGEST = 8, 4096
"""Characters of a value. A shorter one could not be taken out of a log without tearing other text apart."""

# What decides which code runs, whom it speaks to or where it writes is the worker's to set, never a team's.
_RESERVED_PREFIXES = (
    "LD_", "DYLD_", "PYTHON", "LORAFLEET_", "BASH_", "GLIBC_", "MALLOC_", "GIT_", "SSL_", "OPENSSL_", "CUDA_", "NVIDIA_", "NCCL_",
    "OMP_", "MKL_", "TORCH", "PYTORCH_", "TRITON_", "HF_HUB_", "HF_HOME", "HF_ENDPOINT", "XDG_", "KUBERNETES_", "LC_",
)  # fmt: skip
_RESERVED_SUFFIXES = ("_PROXY", "_CA_BUNDLE")
_RESERVED = frozenset(
    {
        "PATH", "HOME", "SHELL", "USER", "LOGNAME", "PWD", "ENV", "IFS", "TERM", "LANG", "TMPDIR", "TEMP", "TMP", "NETRC", "GCONV_PATH",
        "VIRTUAL_ENV", "HOSTNAME", "EDITOR", "PAGER", "BROWSER", "LOCPATH", "NLSPATH", "PERL5LIB", "NODE_OPTIONS",
    }
)  # fmt: skip


def checked_name(name: str) -> str:
    """The name, if a secret may be called so.

    Raises:
        ValueError: it may not; the message says why.
    """
    if not re.fullmatch(NAME_PATTERN[1:-1], name):
        raise ValueError("a secret is called like an environment variable: 3 to 63 capital letters, digits and underscores")
    if name in _RESERVED or name.startswith(_RESERVED_PREFIXES) or name.endswith(_RESERVED_SUFFIXES):
        raise ValueError(f"{name} decides how the worker runs and is no team's to set; take the name that your service documents")
    return name


def checked_value(value: SecretStr) -> SecretStr:
    """The value, if an environment variable can hold it and a log can be kept free of it.

    Raises:
        ValueError: it cannot; the message never holds the value.
    """
    text = value.get_secret_value()
    if not SHORTEST <= len(text) <= LONGEST:
        raise ValueError(f"a secret has {SHORTEST} to {LONGEST} characters, and this one has {len(text)}")
    if not all(character.isprintable() or character in "\n\t" for character in text):
        raise ValueError("a secret is text: it holds a control character")
    if text != text.strip():
        raise ValueError("a secret does not begin or end with white space")
    return value


SecretName = Annotated[str, StringConstraints(pattern=NAME_PATTERN), AfterValidator(checked_name)]
