"""Small experiments that the report runs while it is rendered: what masks do, what binarisation costs, what is seen.

Each takes a second or two on one core. Table rows come with Persian headings and digits, for
``genmodels.report.persian.table``; the numbers themselves are returned beside them, so that the report can hold its
sentences against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genmodels.config import PixelCNNModelConfig
from genmodels.report.persian import fa, fa_int
from genmodels.pixelcnn.evaluation import nll_nats, receptive_field
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import PixelCNN, loss_nats

STUDIED = {  # runs of stage pixelcnn-study
    "spec": "شبکهٔ خواسته‌شده", "residual": "با اتصال باقی‌مانده", "gates": "با دروازه به جای ReLU", "place": "با بایاس جایگاه‌شناس",
    "two-stacks": "با دو پشته", "ours": "شبکهٔ ما: دو پشته، دروازه، جایگاه", "drawn": "خواسته‌شده، هدف: بیت قرعه",
    "adamw": "خواسته‌شده، AdamW به جای Muon",
}
STACKS = {"ABB": "نخست A، سپس B (درست)", "BBB": "همه B", "AAA": "همه A"}


@dataclass(frozen=True)
class MaskTrial:
    """One choice of masks on a small stack: what its centre output sees, and its loss after a short training."""

    own_gradient: float  # |d logit_i / d x_i|
    nearest_seen: int  # distance in pixels to the nearest seen pixel of the same row, at or left of the output's own
    pixels_seen: int  # earlier pixels that influence the output
    nll_nats: float  # after the short training, on the images it was trained on


def mask_trials(
    images: Tensor, steps: int = 60, channels: int = 8, kernel: int = 5, seed: int = 0
) -> dict[str, MaskTrial]:
    """Three small stacks that differ in their masks alone: A then B, all B, all A. ``images`` (N, 1, 28, 28) binary.

    The receptive field is taken by gradients at the image's centre; then each stack is trained ``steps`` steps.
    """
    trials = {}
    for name in STACKS:
        torch.manual_seed(seed)
        model = PixelCNN(PixelCNNModelConfig(channels=channels, kernels=(kernel, kernel, kernel, 1)))
        for index, mask_type in enumerate(name):
            old = model.convolutions[index]
            model.convolutions[index] = MaskedConv2d(mask_type, old.in_channels, old.out_channels, kernel)
        field = receptive_field(model)  # (28, 28), at row 14 and column 14
        in_row = [distance for distance in range(15) if field[14, 14 - distance] > 0]
        earlier = field.flatten()[: 14 * 28 + 14] > 0
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            batch = images[torch.randint(len(images), (16,), generator=generator)]
            optimizer.zero_grad()
            (loss_nats(model, batch).mean() / 784).backward()
            optimizer.step()
        nats = nll_nats(model, images[:100]).mean().item()
        trials[name] = MaskTrial(field[14, 14].item(), min(in_row), int(earlier.sum()), nats)
    return trials


def mask_rows(trials: dict[str, MaskTrial]) -> list[dict[str, str]]:
    """The trials as table rows."""
    return [
        {
            "ماسک سه لایهٔ نخست": STACKS[name],
            "گرادیان نسبت به خود پیکسل": fa(trial.own_gradient, 3) if trial.own_gradient else fa_int(0),
            "فاصلهٔ نزدیک‌ترین پیکسل دیده‌شدهٔ سطر": fa_int(trial.nearest_seen),
            "پیکسل‌های پیشین دیده‌شده": fa_int(trial.pixels_seen),
            "زیان پس از آموزش کوتاه (نات بر تصویر)": fa(trial.nll_nats, 1),
        }
        for name, trial in trials.items()
    ]


def layer_rows(model: PixelCNN) -> list[dict[str, str]]:
    """``model.layer_table()`` in Persian, with a last row for the sum of the parameters."""
    rows = [
        {
            "لایه": fa_int(row["layer"]), "ماسک": row["mask"],
            "هسته": "×".join(fa_int(int(side)) for side in row["kernel"].split("×")),
            "کانال (ورودی ← خروجی)": f"{fa_int(row['in_channels'])} ← {fa_int(row['out_channels'])}",
            "فعال‌سازی": row["activation"], "پارامتر زنده": fa_int(row["parameters"]),
            "میدان دید (سطر بالا، ستون کنار)": f"{fa_int(row['rows_up'])}، ±{fa_int(row['columns_aside'])}",
        }
        for row in model.layer_table()
    ]
    return [*rows, dict.fromkeys(rows[0], "") | {"لایه": "مجموع", "پارامتر زنده": fa_int(model.live_parameters())}]


def ablation_rows(study: Any) -> list[dict[str, str]]:
    """One row a change of the assignment's network, with its effect on the validation loss (minus: better)."""
    rows = []
    for key, label in STUDIED.items():
        run, effect = study.runs.loc[key], study.effects.get(key)
        rows.append({
            "شبکه": label, "کانال": fa_int(study.config[key].experiment.model.channels), "پارامتر زنده": fa_int(int(run.live_parameters)),
            "GFLOP هر گذر": fa(run.forward_flops / 1e9, 2), "زیان اعتبارسنجی": fa(run.validation_nll_nats, 2),
            "اختلاف": f"{fa(effect[0], 2)} ({fa(effect[1], 2)})" if effect else "—",
        })
    return rows


@dataclass(frozen=True)
class Sight:
    """How many earlier pixels an output has, sees, misses in the blind spot, and misses for being out of reach."""

    earlier: int
    seen: int
    blind: int
    far: int


def sight(model: PixelCNN, field: Tensor, row: int, column: int) -> Sight:
    """Count ``field`` (``receptive_field`` at (row, column)): unseen within the stack's reach is the blind spot."""
    reach = model.layer_table()[-1]["rows_up"]
    height, width = field.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    earlier = rows * width + columns < row * width + column
    near = (row - rows <= reach) & ((columns - column).abs() <= reach)
    unseen = earlier & (field == 0)
    kinds = (earlier, earlier & (field > 0), unseen & near, unseen & ~near)
    return Sight(*(int(kind.sum()) for kind in kinds))


def unseen_nearby(field: Tensor, row: int, column: int) -> int:
    """How many earlier pixels are unseen (zero in ``field``) inside the smallest rectangle around those that are seen."""
    seen = field > 0
    height, width = field.shape
    earlier = torch.arange(height * width).view(height, width) < row * width + column
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    inside = torch.zeros_like(seen)
    inside[rows.min() : row + 1, columns.min() : columns.max() + 1] = True
    return int((earlier & inside & ~seen).sum())


def binarization_entropy_nats(grey: Tensor) -> float:
    """Mean over images of the entropy of one Bernoulli draw of their pixels, in nats. ``grey`` (N, 28, 28) uint8.

    This much of the likelihood of a dynamically binarised image is noise of the draw: H(x) >= H(x | grey), so no model
    of the bits can have a mean loss below it.
    """
    p = grey.double() / 255
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).flatten(1).sum(1).mean().item()
