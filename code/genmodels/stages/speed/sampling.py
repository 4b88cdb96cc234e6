"""How much the samplers save, measured in one run: the assignment's network, a batch of images, one thread.

Speed does not hang on the weights, so they are random. The naive sampler would take minutes: it is timed on evenly spaced
pixels and scaled to all of them, which is fair because each of its passes costs the same; the cropped one, whose passes
differ, likewise on more pixels. The floor of any exact sampler is one forward pass: every logit has to be computed once.
Contestants take turns; seconds are processor seconds, medians over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from genmodels.config import GatedModelConfig, PixelCNNModelConfig
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.model import PixelCNN, PixelModel
from genmodels.pixelcnn.sampling import METHODS, Cropped, Naive, sample
from genmodels.stages.base import Check
from genmodels.stages.speed.training import ASSIGNED, FORMS, network, random_bits, with_biases
from genmodels.system.meters import count_flops, interleaved, one_thread

SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"images": 100, "channels": 64, "side": 28, "naive_pixels": 5, "cropped_pixels": 40, "rounds": 3},
    "smoke": {"images": 4, "channels": 8, "side": 14, "naive_pixels": 2, "cropped_pixels": 4, "rounds": 1},
}


def measure(settings: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """``rows``: CPU seconds for all images by each way, with the ratio of the naive one's to it; ``flops``: counted, per image."""
    with one_thread(), torch.no_grad():
        return {"rows": _rows(settings), "flops": _flops(settings)}


def agree() -> list[Check]:
    """The same numbers give the same images by every way, in both kinds of network; in double precision, bit by bit."""
    torch.manual_seed(0)
    networks: dict[str, PixelModel] = {
        "raster": PixelCNN(PixelCNNModelConfig(channels=5, kernels=(7, 5, 1, 1)), image_size=(6, 8)),
        "two stacks": GatedPixelCNN(GatedModelConfig(channels=4, layers=3), image_size=(6, 8)),
    }
    checks = []
    for name, model in networks.items():
        with_biases(model, 0.3)
        drawn = [
            sample(model.double(), 12, torch.Generator().manual_seed(1), method=way, temperature=3.0) for way in METHODS
        ]
        same = all(torch.equal(images, drawn[0]) for images in drawn) and 0.05 < drawn[0].mean() < 0.95
        checks.append(Check(name, bool(same), f"{len(drawn)} samplers, {drawn[0].numel()} pixels"))
    return checks


def _network(settings: dict[str, Any], form: str = "half-last") -> PixelCNN:
    return network(FORMS[form], settings["channels"], ASSIGNED["layers"], settings["side"])


def _rows(settings: dict[str, Any]) -> list[dict[str, Any]]:
    side, count = settings["side"], settings["images"]
    canvas, half, full = random_bits(count, side), _network(settings), _network(settings, "naive")

    def some(stepper: Any, pixels: int) -> Callable[[], Any]:
        places = torch.linspace(0, side * side - 1, pixels).round().long().tolist()
        return lambda: [stepper.logit(*divmod(place, side)) for place in places]

    few, many = settings["naive_pixels"], settings["cropped_pixels"]
    taken = interleaved(
        {
            "naive": some(Naive(full, canvas), few),
            "naive-half": some(Naive(half, canvas), few),
            "cropped": some(Cropped(half, canvas), many),
            "incremental": lambda: sample(half, count, torch.Generator().manual_seed(0)),
            "floor": lambda: half(canvas),
        },
        1,
        settings["rounds"],
    )
    for name, pixels in {"naive": few, "naive-half": few, "cropped": many}.items():
        taken[name] *= side * side / pixels
    return [{"way": name, "cpu_seconds": seconds, "ratio": taken["naive"] / seconds} for name, seconds in taken.items()]


def _flops(settings: dict[str, Any]) -> dict[str, float]:
    """Counted operations an image: of one forward pass over live taps (the floor), of a forward pass, of the sampler."""
    side, model, few = settings["side"], _network(settings), 4
    live = 2 * side * side * sum(conv.live_taps * conv.in_channels * conv.out_channels for conv in model.convolutions)
    counted = {}
    for name, action in {
        "forward": lambda: model(random_bits(few, side)),
        "incremental": lambda: sample(model, few, torch.Generator().manual_seed(0)),
    }.items():
        counted[name] = count_flops(action) / few
    return {"floor": float(live)} | counted
