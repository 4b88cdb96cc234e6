"""What a result says of the machine that made it: the name of its processor or GPU."""

from __future__ import annotations

import platform

import torch


def processor() -> str:
    """The GPU that PyTorch would use, else the processor, by the name that the system gives it."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)
    except OSError:
        name = None
    return name or platform.processor() or platform.machine()
