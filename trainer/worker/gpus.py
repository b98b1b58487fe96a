"""The machine's GPUs as their driver names them, without loading torch."""

import shutil
import subprocess

from lorafleet.contracts.jobs import MAX_GPUS, GpuSlot

_SECONDS = 20


def find_gpus() -> tuple[GpuSlot, ...]:
    """The GPUs that ``nvidia-smi`` lists; none where it is missing or its driver does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603  (fixed words)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse(done.stdout) if done.returncode == 0 else ()


def parse(listing: str) -> tuple[GpuSlot, ...]:
    """``NVIDIA L4, 23034`` a line. Lines without a size, as of a card that shares the system's memory, are passed over."""
    slots = []
    for line in listing.splitlines():
        name, _, memory = line.rpartition(",")
        if name.strip() and memory.strip().isdecimal() and int(memory) > 0:
            slots.append(GpuSlot(name=name.strip(), memory_mib=int(memory)))
    return tuple(slots[:MAX_GPUS])
