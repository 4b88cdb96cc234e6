"""This process's place among those that torchrun started, as its variables tell it.

What the processes then do with each other is ``training/ranks.py``'s business.
"""

from __future__ import annotations

import os

from genmodels.errors import UserError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # those of torchrun that are read


def place() -> tuple[int, int, int]:
    """Rank, number of processes and rank on this machine, from torchrun's variables; (0, 1, 0) without them.

    An empty variable counts as unset. Raises ``UserError`` where they contradict each other: left by another program,
    they would make this process wait for ever, or leave its work to a rank 0 that nobody started.
    """
    given = {name: os.environ.get(name, "").strip() for name in VARIABLES}
    try:
        rank, size, local = (int(given[name] or default) for name, default in zip(VARIABLES, (0, 1, 0)))
    except ValueError:
        rank, size, local = -1, 0, 0
    missing = [name for name in VARIABLES if not given[name] and size > 1 and name != "LOCAL_RANK"]
    if missing or not 0 <= rank < size or local < 0:
        found = ", ".join(f"{name}={value}" for name, value in given.items() if value)
        lack = f", {' and '.join(missing)} not set" * bool(missing)
        way_out = f"start with torchrun, or unset {' '.join(VARIABLES)}"
        raise UserError(f"these are not torchrun's variables: {found}{lack}; {way_out}")
    return rank, size, local


def is_leader() -> bool:
    """Whether this process is the one that writes and tells: rank 0 of a ``torchrun``, or the only one."""
    return place()[0] == 0
