"""Points 1.1 to 1.4: binarised MNIST, the masked network, its training and its samples."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from genmodels.checks.check import Evidence, Finding, check, max_with_nan
from genmodels.data import mnist
from genmodels.pixelcnn.evaluation import receptive_field, unseen_nearby
from genmodels.pixelcnn.quality import QUANTILE, near
from genmodels.report.persian import fa, fa_int, fa_percent
from genmodels.stages.image_samples import INDEPENDENT
from genmodels.system.precision import autocast

SUGGESTED = {"kernels": [7] * 6 + [1] * 2, "channels": 64}  # the assignment's own words
ASKED = 13  # every so many pixels causality is asked for: 61 places, of all rows and (13 and 28 share no factor) all columns


@check("splits", "1.1", "sec-1-1", "بخش‌های MNIST", outcome=True)
def splits(e: Evidence) -> Finding:
    data, held = e.shipped["pixelcnn"].manifest["data"], e.shipped["pixelcnn"].config.validation_images
    train, tested = data["train_images"], data["test_images"]
    whole, every = (mnist.SHAPES[f"{name}-images-idx3-ubyte"][0] for name in ("train", "t10k"))
    return train + held == whole and tested == every, "، ".join(map(fa_int, (train, held, tested)))


@check("static-set", "1.1", "sec-1-1", "سهم روشن آزمون ایستا")
def static_set(e: Evidence) -> Finding:
    if (found := e.shipped["pixelcnn"].metrics["test_set"]) != "static":
        return None, "آزمون ایستا در داده‌ها نبود" if found == "seeded" else f"`{found}`"
    images = e.test_images
    share = images.mean().item()
    error = images.flatten(1).mean(1).std().item() / math.sqrt(len(images))
    binary = bool(((images == 0) | (images == 1)).all())
    known = abs(share - mnist.STATIC_TEST_MEAN) < 4 * error
    return binary and known, fa(share, 3)


@check("layers", "1.2", "sec-1-2-network", "لایه‌ها، هسته‌ها و کانال‌ها از روی وزن‌ها")
def layers(e: Evidence) -> Finding:
    convolutions = list(e.pixelcnn.convolutions)
    shapes = [tuple(c.weight.shape) for c in convolutions]  # (out, in, k//2 + 1, k): rows below the centre are not kept
    width = SUGGESTED["channels"]
    inputs = [1] + [width] * (len(SUGGESTED["kernels"]) - 1)
    outputs = [width] * (len(SUGGESTED["kernels"]) - 1) + [1]
    wanted = [(o, i, k // 2 + 1, k) for o, i, k in zip(outputs, inputs, SUGGESTED["kernels"])]
    others = [m for m in e.pixelcnn.modules() if not list(m.children()) and m not in convolutions]
    return shapes == wanted and not others, f"{fa_int(len(shapes))} لایه"


@check("activations", "1.2", "sec-1-2-network", "فعال‌سازی‌ها هنگام اجرا")
def activations(e: Evidence) -> Finding:
    passed: list[tuple[Tensor, Tensor]] = []
    handles = [c.register_forward_hook(lambda _, i, o: passed.append((i[0], o))) for c in e.pixelcnn.convolutions]
    try:
        with torch.no_grad():
            logits = e.pixelcnn(e.test_images[:2])
    finally:
        for handle in handles:
            handle.remove()
    relu = [torch.equal(after[0], before[1].clamp(min=0)) for before, after in itertools.pairwise(passed)]
    negative = all(bool((output < 0).any()) for _, output in passed[:-1])  # there was something to cut
    with torch.no_grad():
        p = e.pixelcnn.probabilities(e.test_images[:2])
    sigmoid = torch.allclose(p.double(), 1 / (1 + torch.exp(-logits.double())), atol=1e-6)
    holds = len(relu) == 7 and all(relu) and negative and sigmoid and torch.equal(passed[-1][1], logits)
    return holds, f"{fa_int(sum(relu))} ReLU، یک Sigmoid"


@check("masks", "1.2", "sec-1-2-masks", "نوع و مقدار ماسک‌ها")
def masks(e: Evidence) -> Finding:
    right = 0
    for index, conv in enumerate(e.pixelcnn.convolutions):
        k, kind = conv.kernel, "B" if index else "A"
        live = set(live_taps(k, kind))
        wanted = [[float((row, column) in live) for column in range(k)] for row in range(k // 2 + 1)]
        right += conv.mask_type == kind and conv.mask.tolist() == wanted
    return right == len(SUGGESTED["kernels"]), f"{fa_int(right)} ماسک"


def live_taps(kernel: int, kind: str) -> list[tuple[int, int]]:
    """(row, column) of the taps that mask ``kind`` leaves: before the centre in raster order, and for B the centre."""
    centre = (kernel // 2, kernel // 2)
    places = [(row, column) for row in range(kernel) for column in range(kernel)]
    return [place for place in places if place < centre or (kind == "B" and place == centre)]


@check("dead-taps", "1.2", "sec-1-2-masks", "شمار وزن‌های زنده، بقیه صفر")
def dead_taps(e: Evidence) -> Finding:
    dead = max_with_nan(*((c.weight * (1 - c.mask)).abs().max().item() for c in e.pixelcnn.convolutions))
    width, taps = SUGGESTED["channels"], [(k * k) // 2 + 1 for k in SUGGESTED["kernels"]]
    live = (taps[0] - 1) * width + width + sum(t * width * width + width for t in taps[1:-1]) + taps[-1] * width + 1
    return dead == 0 and live == e.shipped["pixelcnn"].metrics["live_parameters"], fa_int(live)


@check("causality", "1.2", "sec-1-2-field", "گرادیان نسبت به خود و آینده صفر")
def causality(e: Evidence) -> Finding:
    """Output i of image i, for each place asked; exact zeros survive bf16, which is three times faster where there is any.

    No weight is bound to a place (``layers``): a tap alive at or behind a centre shows at all of them, a leak within one row or
    column at some. That the masks leave none at any of the 784 places is tested (``test_pixelcnn``).
    The images are noise: on a digit's empty corner a trained network may close every ReLU, and a closed one hides what it
    could see. (The network of 14 epochs does so at 30 positions of the test images.)
    """
    places, pixels = torch.arange(0, mnist.PIXELS, ASKED), torch.arange(mnist.PIXELS)
    noise = torch.randint(2, (len(places), 1, mnist.SIDE, mnist.SIDE), generator=torch.Generator().manual_seed(0))
    images = noise.float().requires_grad_(True)
    with autocast("cpu"):
        logits = e.pixelcnn(images).flatten(1)
    (gradient,) = torch.autograd.grad(logits[torch.arange(len(places)), places].sum(), images)
    reached, earlier = gradient.flatten(1) != 0, pixels < places[:, None]  # (places, pixels)
    blind, seen = int((~(reached & ~earlier).any(1)).sum()), int((reached & earlier).any(1).sum())
    return blind == len(
        places
    ) == seen + 1, f"{fa_int(blind)} جایگاه، در همهٔ سطرها و ستون‌ها"  # the first pixel has no past


@check("field", "1.2", "sec-1-2-field", "میدان دید گرادیانی = پیمودن ماسک‌ها")
def field(e: Evidence) -> Finding:
    row, column, side = 20, 12, mnist.SIDE
    reached = {(row, column)}
    for index, kernel in reversed(list(enumerate(SUGGESTED["kernels"]))):
        half = kernel // 2
        taps = [(r - half, c - half) for r, c in live_taps(kernel, "B" if index else "A")]
        stepped = {(r + down, c + aside) for r, c in reached for down, aside in taps}
        reached = {(r, c) for r, c in stepped if 0 <= r < side and 0 <= c < side}
    found = {(r, c) for r, c in (receptive_field(e.pixelcnn, row, column) > 0).nonzero().tolist()}
    return found == reached, f"{fa_int(len(found))} از {fa_int(row * side + column)}"


@check("two-stacks", "1.2", "sec-gated", "شبکهٔ دوپشته‌ای: گرادیان آینده صفر، نقطهٔ کور هیچ")
def two_stacks(e: Evidence) -> Finding:
    """By gradients at three places; beside it the assignment's network, which must be blind there."""
    places = ((20, 12), (13, 9), (27, 27))
    model = e.networks["pixelcnn-gated"]
    fields = [receptive_field(model, *place, draws=2) for place in places]
    future = sum(int((field.flatten()[r * mnist.SIDE + c :] != 0).sum()) for field, (r, c) in zip(fields, places))
    blind = sum(unseen_nearby(field, *place) for field, place in zip(fields, places))
    plain = unseen_nearby(receptive_field(e.pixelcnn, *places[0], draws=2), *places[0])
    return future == blind == 0 < plain, f"{fa_int(blind)}؛ شبکهٔ خواسته‌شده {fa_int(plain)} پیکسل"


@check("curve", "1.3", "sec-1-3", "زیان آموزش، اعتبارسنجی و آزمون کاهنده", outcome=True)
def curve(e: Evidence) -> Finding:
    history = e.shipped["pixelcnn"].history[["train_loss", "validation_loss", "test_loss"]].to_numpy()
    return bool((history[-1] < history[0]).all()), f"{fa_int(len(history))} نقطه"


@check("classifier", "1.4", "sec-quality", "رده‌بند سنجش روی همهٔ آزمون دست‌کم ۹۹٪", outcome=True)
def classifier(e: Evidence) -> Finding:
    metrics = e.shipped["mnist-classifier"].metrics
    whole = metrics["test_images"] == mnist.SHAPES["t10k-labels-idx1-ubyte"][0]
    return whole and metrics["test_accuracy"] >= 0.99, fa_percent(metrics["test_accuracy"], 2)


@check(
    "quality-order",
    "1.4",
    "sec-quality",
    "فاصلهٔ فرشه: آزمون واقعی، آنگاه شبکهٔ ما، آنگاه پیکسل‌های مستقل",
    outcome=True,
)
def quality_order(e: Evidence) -> Finding:
    result = e.shipped["pixelcnn-samples"]
    found = [result.measures[name]["frechet"] for name in ("real-dynamic", result.config.shown, INDEPENDENT)]
    return found[0] < found[1] < found[2], " < ".join(fa(value, 1) for value in found)


@check("not-memorised", "1.4", "sec-quality", "نمونه‌ها رونوشت تصویر آموزش نیستند", outcome=True)
def not_memorised(e: Evidence) -> Finding:
    """No sample is a training image, and few lie nearer to one than nearly all test images do."""
    result = e.shipped["pixelcnn-samples"]
    distances = result.distances(result.config.shown)
    close = near(distances, result.distances("real-dynamic"))["distance_below"]
    return distances.min() > 0 and close < 3 * QUANTILE, f"کمترین فاصله {fa_int(distances.min())} پیکسل"
