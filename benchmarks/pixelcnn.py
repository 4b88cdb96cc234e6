"""PixelCNN side by side in one run: forms of the masked convolution, methods of sampling, FLOPs against a floor.

    PYTHONPATH=code OMP_NUM_THREADS=1 python benchmarks/pixelcnn.py [--quick] [--json FILE]

One thread, CPU seconds (``time.process_time``), the assignment's network with random weights (speed does not hang on
their values). Contestants take turns. Training: what stage ``speed-training`` ships, its cost law left unprinted.
Sampling: the best of the rounds counts, since on a shared machine noise only ever adds time. The naive sampler would
take minutes: it is timed on evenly spaced pixels and scaled to all of them, which is fair because each of its passes
costs the same; the cropped one, whose passes differ, likewise on more pixels.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from genmodels.files import write_json
from genmodels.pixelcnn.sampling import Cropped, Naive, sample
from genmodels.pixelcnn.training_speed import ASSIGNED, FORMS, SETTINGS, measure, network

SIDE = ASSIGNED["side"]


def seconds(action: Callable[[], Any]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def best_of(actions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """CPU seconds of each action, the best of ``rounds``, the actions taking turns; one untimed call of each before."""
    for action in actions.values():
        action()
    times = [{name: seconds(action) for name, action in actions.items()} for _ in range(rounds)]
    return {name: min(row[name] for row in times) for name in actions}


def training(quick: bool) -> list[dict[str, Any]]:
    """The rows of stage ``speed-training``, measured anew: forward and backward, in each form that runs here."""
    fewer = {"batch": 8, "rounds": 1, "compile": False, "law_batch": 2, "law_rounds": 1}
    found = measure(SETTINGS["full"] | (fewer if quick else {}))
    for name, reason in found["left_out"].items():
        print(f"left out: {name}: {reason}")
    shown = ("form", "images_per_second", "ratio", "of_peak")
    return [{name: row[name] for name in shown} for row in found["forms"]]


@torch.no_grad()
def sampling(count: int, rounds: int, pixels: int) -> list[dict[str, Any]]:
    """CPU seconds for ``count`` images; the floor is one forward pass of the whole batch."""
    canvas = (torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    half, full = network(FORMS["half-last"], **ASSIGNED), network(FORMS["naive"], **ASSIGNED)

    def some(stepper: Any, places: list[int]) -> Callable[[], None]:
        return lambda: [stepper.logit(*divmod(place, SIDE)) for place in places] and None

    few = torch.linspace(0, SIDE * SIDE - 1, max(1, pixels // 8)).round().long().tolist()
    many = torch.linspace(0, SIDE * SIDE - 1, pixels).round().long().tolist()
    slow = best_of({"naive": some(Naive(full, canvas), few), "naive, causal half": some(Naive(half, canvas), few),
                    "cropped": some(Cropped(half, canvas), many)}, rounds)
    whole = best_of({"incremental": lambda: sample(half, count, torch.Generator().manual_seed(0)),
                     "floor: one forward pass": lambda: half(canvas)}, rounds)
    scale = {name: SIDE * SIDE / len(many if name == "cropped" else few) for name in slow}
    taken = {name: t * scale.get(name, 1.0) for name, t in (slow | whole).items()}
    return [{"sampling": name, "cpu_seconds": t, "ratio": taken["naive"] / t} for name, t in taken.items()]


@torch.no_grad()
def flops(count: int = 4) -> list[dict[str, Any]]:
    """Counted FLOPs an image (``torch.utils.flop_counter``) against the live taps' floor of one forward pass."""
    model = network(FORMS["half-last"], **ASSIGNED)
    floor = 2 * SIDE * SIDE * sum(conv.live_taps * conv.in_channels * conv.out_channels for conv in model.convolutions)
    canvas = torch.zeros(count, 1, SIDE, SIDE)
    rows = []
    for name, action in {
        "forward, naive": lambda: network(FORMS["naive"], **ASSIGNED)(canvas), "forward, causal half": lambda: model(canvas),
        "incremental sampling": lambda: sample(model, count, torch.Generator().manual_seed(0)),
    }.items():
        with FlopCounterMode(display=False) as counter:
            action()
        counted = counter.get_total_flops() / count
        rows.append({"flops": name, "mflop_per_image": counted / 1e6, "of_floor": counted / floor})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller and noisier, a few seconds")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 2 if options.quick else 5
    sections = {
        "training": training(options.quick),
        "sampling": sampling(count=16 if options.quick else 100, rounds=rounds, pixels=16 if options.quick else 40),
        "flops": flops(),
    }
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread, CPU seconds")
    for rows in sections.values():
        print()
        for row in rows:
            name, *values = row.values()
            print(f"{name:36}" + "".join(f"{value:12.2f} {unit:18}" for value, unit in zip(values, list(row)[1:])))
    if options.json:
        write_json(options.json, sections | {"torch": torch.__version__, "threads": 1})


if __name__ == "__main__":
    main()
