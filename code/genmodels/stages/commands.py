"""The commands about results: train, transfer, status, import, verify. The command line (``__main__``) has their options."""

from __future__ import annotations

import argparse
import sys
import time

from genmodels import stages, store
from genmodels.errors import CheckFailed, UserError
from genmodels.stages import STAGES, known
from genmodels.stages.base import verified
from genmodels.stages.importing import import_results
from genmodels.stages.status import Plan, at_hand, plan, row, told
from genmodels.system import processes
from genmodels.system.places import cache_folder
from genmodels.system.precision import why_fp32
from genmodels.system.proof import CONTRADICTED, MARKS, UNCHECKED, held, kind


def train(arguments: argparse.Namespace) -> int:
    leads = processes.is_leader()
    names = stages.known(arguments.stage or stages.trained_in(arguments.profile))
    found = plan(names, arguments.profile, arguments.data)  # every process of a torchrun goes through the same stages
    names = found.names() if arguments.needed else names
    if leads:
        _announce(found, names, arguments)
    for name in names:
        started = time.monotonic()
        stage = stages.get(name)
        if not (leads or stage.shares_work):
            continue
        path = stage.run(arguments.profile, arguments.data, arguments.restart)
        if leads:
            print(f"{name} {arguments.profile}: {path} ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


def transfer(arguments: argparse.Namespace) -> int:
    from genmodels.stages.transfer_public import carried_over

    found = carried_over(
        arguments.source, arguments.target, arguments.kilobytes, arguments.steps, arguments.rate, arguments.data
    )
    print(f"bits per character on the test ghazals: {found['before']:.3f} before, {found['after']:.3f} after")
    if found["unknown_share"]:
        share = f"{found['unknown_share']:.1%} of the tokens"
        print(f"the tokenizer cannot write all of the text ({share}): these bits are too few")
    if not found["improved"]:
        print("no step did better on the validation ghazals than none: try a lower --rate or more --steps")
    print(f"a sample, the first one drawn:\n{found['sample']}")
    return 0


def _announce(found: Plan, names: list[str], arguments: argparse.Namespace) -> None:
    """Say what the training will cost and what else it concerns."""
    if found.needed and not arguments.needed:
        print("not asked for, but concerned (train --needed trains them, too):")
    for name, why in found.needed.items():
        print(f"  {name}: {why}")
    print("; ".join(filter(None, (told(names, arguments.profile), why_fp32()))), flush=True)


def status(arguments: argparse.Namespace) -> int:
    print(f"{'stage':20} {'result':8} {'data':10} {'minutes':>7}  needs; why stale")
    for name in known(arguments.stage):
        one = row(name, arguments.profile)
        cost = "?" if one.minutes is None else f"{one.minutes:.1f}"
        rest = "; ".join(filter(None, (", ".join(one.needs), one.why)))
        print(f"{name:20} {one.state:8} {(one.source or '-')[:10]:10} {cost:>7}  {rest}".rstrip(), flush=True)
    text, images = (at_hand(reads, None) for reads in ("text", "images"))
    print(f"the data folder holds text {text[:10] if text else 'none'}, images with test set {images or 'none'}")
    return 0


def results(arguments: argparse.Namespace) -> int:
    if arguments.action == "ship":
        store.list_shipped(STAGES)
        return 0
    if arguments.zip is None:
        raise UserError("which zip? genmodels results import ZIP")
    for folder in import_results(arguments.zip):
        print(folder)
    print("now let them be contradicted: python -m genmodels verify", file=sys.stderr)
    return 0


def verify(arguments: argparse.Namespace) -> int:
    cache_folder()  # one that cannot be is a mistake of the call, and contradicts nothing
    found, names = [], known(arguments.stage)
    for name, checks in verified(
        names, arguments.profile, folder=arguments.data, whole=True, workers=arguments.workers
    ):
        for check in checks:
            found.append(said := kind(check))
            why = f"{said}: " if said == UNCHECKED else ""
            print(f"{MARKS[said]} {name}/{arguments.profile} {check.name}: {why}{check.detail}", flush=True)
    if failed := found.count(CONTRADICTED):
        raise CheckFailed(f"{failed} of {len(found)} checks failed: the shipped results do not hold")
    print(f"verify: {held(len(found), found.count(UNCHECKED))}")
    return 0
