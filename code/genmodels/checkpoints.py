"""Checkpoints: written atomically, read without trust, refused where they belong to another run; and asking to stop."""

from __future__ import annotations

import io
import signal
import threading
from pathlib import Path
from typing import Any

import torch

from genmodels.errors import UserError
from genmodels.files import atomic_writer


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically: the old one stays until the new one is on the disk."""
    whole = io.BytesIO()  # torch.save reports a full disk as an error of its own archive, not as the system's
    torch.save(state, whole)
    with atomic_writer(path) as stream:
        stream.write(whole.getbuffer())


def load_checkpoint(path: Path, identity: str) -> dict[str, Any]:
    """Read a checkpoint of the run ``identity``; ``UserError`` where it is damaged or another run's."""
    remedy = "resume with the settings it was made with, or start over with --restart"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(f"checkpoint {path} is damaged ({type(error).__name__}); start over with --restart") from error
    if found != identity:
        raise UserError(f"checkpoint {path} belongs to run {found[:12]}, not to {identity[:12]}; {remedy}")
    return state


class StopRequest:
    """Ctrl-C and SIGTERM ask for a stop at the end of the current step; a second Ctrl-C does not wait."""

    def __init__(self) -> None:
        self.asked = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
