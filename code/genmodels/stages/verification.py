"""All stages verified, by as many processes as there are cores: what the command and the document's last table do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from genmodels import stages
from genmodels.config import chosen_profile
from genmodels.stages.base import Check, told
from genmodels.system.kinds import CONTRADICTED, kind
from genmodels.system.workers import Workers, cores

Job = tuple[str, str, Path | None, bool]

LONGEST = (
    "pixelcnn-gated",
    "pixelcnn",
)  # where whole test sets are asked: a minute and more each, so they are begun first


def verified(
    names: Sequence[str],
    profile: str | None = None,
    *,
    folder: Path | None = None,
    whole: bool = False,
    workers: int | None = None,
) -> Iterator[tuple[str, list[Check]]]:
    """Each stage's name and checks, the last name first: what takes longest (samples, speeds, studies) stands at the end.

    With ``whole`` also what takes the data, and ``LONGEST`` before all others: the likelihoods of whole test sets, for
    stages whose data are in ``folder`` (the data folder); else those are "not checked here". ``workers``: processes
    (default: one a core); the findings do not depend on it.
    """
    profile = profile or chosen_profile()
    number = min(cores() if workers is None else workers, max(len(names), 1))
    order = sorted(reversed(names), key=lambda name: not (whole and name in LONGEST))
    jobs: list[Job] = [(name, stages.profile_of(name, profile), folder, whole) for name in order]
    with Workers(number) as pool:
        yield from pool.map(_verify, jobs)


def _verify(job: Job) -> tuple[str, list[Check]]:
    name, profile, folder, whole = job
    try:
        stage = stages.get(name)
    except ImportError as error:
        return name, [Check("manifest", False, told(error))]
    checks = stage.verify(profile)
    if stage.with_data and not any(kind(check) == CONTRADICTED for check in checks):
        if not whole:
            return name, [*checks, Check(stage.with_data, None, "takes the data and minutes: make verify")]
        try:
            checks += stage.contradict_with_data(profile, folder)
        except Exception as error:  # as in Stage.verify
            checks.append(Check(stage.with_data, False, told(error)))
    return name, checks
