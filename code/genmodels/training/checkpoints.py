"""Checkpoints: written atomically, read without trust, refused where they belong to another run; and asking to stop."""

from __future__ import annotations

import io
import signal
import threading
from pathlib import Path
from typing import Any

import torch

from genmodels.errors import UserError
from genmodels.system.files import atomic_writer

MOMENTS = {"AdamW": {"step", "exp_avg", "exp_avg_sq"}, "Muon": {"momentum"}}  # what each optimiser keeps of a parameter


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


def misfit(state: dict[str, Any], fresh: dict[str, Any], optimizers: tuple[torch.optim.Optimizer, ...]) -> str | None:
    """What of a checkpoint does not belong to the run whose untrained state is ``fresh``; ``None`` where all does."""
    try:
        for part in ("model", "average"):
            kept, wanted = (dict(one[part] if part == "model" else enumerate(one[part])) for one in (state, fresh))
            for name in [*wanted, *kept]:
                if not _alike(kept.get(name), wanted.get(name)):
                    return f"{part} {name}"
        record, step = state["record"], state["record"]["step"]
        if missing := fresh["record"].keys() - record.keys() - {"commits"}:
            return f"it records no {', '.join(sorted(missing))}"
        rows = (value for row in record["history"] for value in row.values())
        numbers = [*record["losses"], *rows, record["seconds"]]
        if len(record["losses"]) != step or any(not isinstance(number, (int, float)) for number in numbers):
            return f"{len(record['losses'])} losses of {step} steps"
        kept = state["optimizer"].get("parts", [state["optimizer"]])
        for optimizer, moments in zip(optimizers, kept, strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            sizes = (
                [len(group["params"]) for group in groups]
                for groups in (moments["param_groups"], optimizer.param_groups)
            )
            if next(sizes) != next(sizes):
                return "the optimiser's groups"
            for index, parameter in enumerate(parameters if step else []):
                found = moments["state"][index]
                if found.keys() != MOMENTS[type(optimizer).__name__]:
                    return f"the optimiser's {', '.join(map(str, found))}"
                if any(not _alike(value, parameter) for name, value in found.items() if name != "step"):
                    return f"the optimiser's moments of parameter {index}"
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # anything may stand where a table was wanted
        return f"{type(error).__name__}: {error}"
    return None


def _alike(one: Any, other: Any) -> bool:
    return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and one.shape == other.shape


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
