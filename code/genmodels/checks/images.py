"""Points 1.1 to 1.4: binarised MNIST, the masked network, its training and its samples."""

from __future__ import annotations

import itertools
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genmodels import stages
from genmodels.data import mnist
from genmodels.training import loop
from genmodels.report.persian import fa, fa_int, fa_percent, fa_sci
from genmodels.pixelcnn.demonstration import unseen_nearby
from genmodels.pixelcnn.evaluation import bits_per_pixel, nll_nats, receptive_field
from genmodels.pixelcnn.masked_conv import to_naive
from genmodels.pixelcnn.model import loss_nats
from genmodels.pixelcnn.quality import measures
from genmodels.pixelcnn.sampling import METHODS, replay, sample
from genmodels.system.precision import autocast
from genmodels.checks.check import Evidence, Finding, check, largest
from genmodels.stages.classifier import score
from genmodels.stages.image_samples import INDEPENDENT, QUANTILE, near
from genmodels.system.ties import Again

SUGGESTED = {"kernels": [7] * 6 + [1] * 2, "channels": 64}  # the assignment's own words
ROUNDING = 1e-5  # absolute, fp32: two orders of summation differ by less


@check("splits", "1.1", "sec-1-1", "بخش‌های MNIST")
def splits(e: Evidence) -> Finding:
    data, config = e.shipped["pixelcnn"].manifest["data"], e.shipped["pixelcnn"].config
    train, held = data["train_images"], config.validation_images
    whole = mnist.SHAPES["train-images-idx3-ubyte"][0]
    tested = e.shipped["pixelcnn"].metrics["test_images"]
    every = data["test_images"] == tested == mnist.SHAPES["t10k-images-idx3-ubyte"][0]
    return train + held == whole and every, "، ".join(map(fa_int, (train, held, data["test_images"])))


@check("draws", "1.1", "sec-1-1", "قرعهٔ پویا برنولی است")
def draws(e: Evidence) -> Finding:
    grey, count = e.grey[:50], 40
    p = grey.double()[:, None] / 255  # (N, 1, 28, 28)
    generator = torch.Generator().manual_seed(11)
    lit = sum(mnist.binarize(grey, generator).double() for _ in range(count))
    sure = bool((lit[p == 0] == 0).all() and (lit[p == 1] == count).all())
    drawn = (p > 0) & (p < 1)
    spread = count * p[drawn] * (1 - p[drawn])
    ratio = ((lit[drawn] - count * p[drawn]).square() / spread).mean().item()  # chi-squared a degree: 1 expected
    bias = (lit[drawn] - count * p[drawn]).sum().item() / math.sqrt(spread.sum().item())  # standard normal
    return sure and 0.9 < ratio < 1.1 and abs(bias) < 4, f"نسبت پراکندگی {fa(ratio, 2)}"


@check("static-set", "1.1", "sec-1-1", "سهم روشن آزمون ایستا")
def static_set(e: Evidence) -> Finding:
    images = e.test_images
    share = images.mean().item()
    error = images.flatten(1).mean(1).std().item() / math.sqrt(len(images))
    binary = bool(((images == 0) | (images == 1)).all())
    known = abs(share - mnist.STATIC_TEST_MEAN) < 4 * error
    return binary and known and e.shipped["pixelcnn"].metrics["test_set"] == "static", fa(share, 3)


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
    dead = largest(*((c.weight * (1 - c.mask)).abs().max().item() for c in e.pixelcnn.convolutions))
    width, taps = SUGGESTED["channels"], [(k * k) // 2 + 1 for k in SUGGESTED["kernels"]]
    live = (taps[0] - 1) * width + width + sum(t * width * width + width for t in taps[1:-1]) + taps[-1] * width + 1
    stored = e.shipped["pixelcnn"].metrics["live_parameters"]
    return dead == 0 and live == stored == e.pixelcnn.live_parameters(), fa_int(live)


@check("causality", "1.2", "sec-1-2-field", "گرادیان نسبت به خود و آینده صفر")
def causality(e: Evidence) -> Finding:
    """Output i of image i, all images in a few batches; exact zeros survive bf16, which is three times faster where there is any.

    The images are noise: on a digit's empty corner a trained network may close every ReLU, and a closed one hides what it
    could see. (The network of 14 epochs does so at 30 positions of the test images.)
    """
    model, size, noise = e.pixelcnn, mnist.PIXELS, torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # only the images' gradient is wanted
    blind = seen = 0
    for start in range(0, size, 98):
        places = torch.arange(start, min(start + 98, size))
        images = torch.randint(2, (len(places), 1, mnist.SIDE, mnist.SIDE), generator=noise).float().requires_grad_(True)
        with autocast("cpu"):
            logits = model(images).flatten(1)
        (gradient,) = torch.autograd.grad(logits[torch.arange(len(places)), places].sum(), images)
        reached = gradient.flatten(1) != 0  # (positions, pixels)
        earlier = torch.arange(size) < places[:, None]
        blind += int((~(reached & ~earlier).any(1)).sum())
        seen += int((reached & earlier).any(1).sum())
    return blind == size and seen == size - 1, f"{fa_int(blind)} پیکسل"


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


@check("two-stacks", "1.2", "sec-1-2-gated", "شبکهٔ دوپشته‌ای: گرادیان آینده صفر، نقطهٔ کور هیچ")
def two_stacks(e: Evidence) -> Finding:
    """By gradients at three places; beside it the assignment's network, which must be blind there."""
    places = ((20, 12), (13, 9), (27, 27))
    model = e.networks["pixelcnn-gated"]
    fields = [receptive_field(model, *place, draws=2) for place in places]
    future = sum(int((field.flatten()[r * mnist.SIDE + c :] != 0).sum()) for field, (r, c) in zip(fields, places))
    blind = sum(unseen_nearby(field, *place) for field, place in zip(fields, places))
    plain = unseen_nearby(receptive_field(e.pixelcnn, *places[0], draws=2), *places[0])
    return future == blind == 0 < plain, f"{fa_int(blind)}؛ شبکهٔ خواسته‌شده {fa_int(plain)} پیکسل"


@check("normalised", "1.2", "sec-1-2", "جمع احتمال همهٔ ادامه‌ها یک")
@torch.no_grad()
def normalised(e: Evidence) -> Finding:
    """In the middle of a digit, given all pixels before; what lies below cannot matter, and is left out."""
    row, first, count = 10, 10, 8
    small = on_images(e.pixelcnn, (row + 1, 28))
    images = e.test_images[:1, :, : row + 1].repeat(2**count, 1, 1, 1)  # (256, 1, 11, 28)
    fillings = (torch.arange(2**count)[:, None] >> torch.arange(count) & 1).float()  # (256, 8)
    images[:, 0, row, first : first + count] = fillings
    z = small(images)[:, 0, row, first : first + count].double()
    p = torch.sigmoid(torch.where(fillings > 0, z, -z)).prod(1)
    error = abs(p.sum().item() - 1)
    return error < 1e-5 and p.max() < 0.99, f"{fa_int(len(p))} ادامه"


@check("fast-convolution", "1.2", "sec-1-2-network", "پیچش سریع = هسته در ماسک")
def fast_convolution(e: Evidence) -> Finding:
    worst = 0.0
    for conv in e.pixelcnn.convolutions:
        x = torch.randn(2, conv.in_channels, 28, 28, generator=torch.Generator().manual_seed(3)).double()
        outcomes = []
        for layer in (conv, to_naive(conv)):
            layer = layer.double()
            given = x.clone().requires_grad_(True)
            output = layer(given)
            (gradient,) = torch.autograd.grad(output.square().sum(), given)
            outcomes.append((output.detach(), gradient))
        conv.float()
        for fast, slow in zip(*outcomes):
            worst = largest(worst, ((fast - slow).abs().max() / slow.abs().max()).item())
    return worst < 1e-12, f"فرق {fa_sci(worst, 0)}"


@check("likelihood", "1.3", "sec-1-3", "زیان از روی وزن‌ها = ذخیره‌شده")
def likelihood(e: Evidence) -> Finding:
    again = nll_nats(e.pixelcnn, e.test_images).mean().item()
    stored = e.shipped["pixelcnn"].metrics["slice"]["test_nll_nats"]
    return abs(again / stored - 1) < 1e-4, f"{fa(again, 2)} نات"


@check("pixel-loss", "1.3", "sec-1-3", "زیان کد = معادله، بیت = نات ÷ (۷۸۴ ln ۲)")
def pixel_loss(e: Evidence) -> Finding:
    x = e.test_images[:8]
    with torch.no_grad():
        z = e.pixelcnn(x)
    s = 1 / (1 + torch.exp(-z.double()))
    written = -(x * s.log() + (1 - x) * (1 - s).log()).sum((1, 2, 3))
    gap = (loss_nats(z, x).double() / written - 1).abs().max().item()
    metrics = e.shipped["pixelcnn"].metrics
    bits = metrics["test_nll_nats"] / (784 * math.log(2))
    same = math.isclose(bits, metrics["test_bits_per_pixel"], rel_tol=1e-9) and bits_per_pixel(784 * math.log(2)) == 1
    return gap < ROUNDING and same, f"فرق {fa_sci(gap, 0)}"


@check("curve", "1.3", "sec-1-3", "منحنی کامل و کاهنده")
def curve(e: Evidence) -> Finding:
    result = e.shipped["pixelcnn"]
    config, history = result.config.training, result.history
    columns = history[["train_loss", "validation_loss", "test_loss"]].to_numpy()
    epochs = config.steps / (result.manifest["data"]["train_images"] // config.batch_size)
    whole = len(history) == config.evaluations and history["step"].iloc[-1] == config.steps
    falls = bool((columns[-1] < columns[0]).all()) and math.isclose(history["epoch"].iloc[-1], epochs, rel_tol=1e-9)
    return whole and falls, f"{fa_int(len(history))} نقطه، {fa(epochs, 1)} دوره"


@check("resume", "1.3", "sec-1-3", "آموزش ازسرگرفته = پیوسته، تا آخرین بیت")
def resume(e: Evidence) -> Finding:
    return resumes("pixelcnn")


@check("samplers", "1.4", "sec-1-4", "نمونه‌گیرهای تند = ساده")
def samplers(e: Evidence) -> Finding:
    """The trained weights on small images, where the naive sampler is cheap; warm, since corners of MNIST are black."""
    return samplers_agree(on_images(e.pixelcnn, (7, 9)), 8)


@check("gated-samplers", "1.4", "sec-1-4", "همان برابری در شبکهٔ دوپشته‌ای")
def gated_samplers(e: Evidence) -> Finding:
    return samplers_agree(on_images(e.networks["pixelcnn-gated"], (6, 7)), 6)


@check("replayed", "1.4", "sec-1-4", "بازخوانی نمونه‌ها با گذر کامل")
def replayed(e: Evidence) -> Finding:
    drawn = sample(e.pixelcnn, 8, torch.Generator().manual_seed(0))
    again = replay(e.pixelcnn, drawn, torch.Generator().manual_seed(0))
    return again.holds, f"{fa_int(again.differing)} پیکسل ناهمسان"


@check("image-seed", "1.4", "sec-1-4", "تصویر تابع دانه است")
def image_seed(e: Evidence) -> Finding:
    small = on_images(e.pixelcnn, (14, 14))
    one, again, other = (sample(small, 8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    differing = int((one != other).sum())
    return torch.equal(one, again) and differing > 0, f"{fa_int(differing)} پیکسل فرق با دانهٔ دیگر"


@check("completion", "1.4", "sec-1-4-completion", "نیمهٔ داده‌شده دست نمی‌خورد")
def completion(e: Evidence) -> Finding:
    keep = torch.zeros(28, 28, dtype=torch.bool)
    keep[:14] = True
    given = e.test_images[:4]
    drawn = sample(e.pixelcnn, 4, torch.Generator().manual_seed(0), given=given, mask=keep)
    kept, free = given[:, :, :14], given[:, :, 14:]
    holds = torch.equal(drawn[:, :, :14], kept) and not torch.equal(drawn[:, :, 14:], free)
    return holds, f"{fa_int(kept.numel())} پیکسل"


@check("classifier", "1.4", "sec-1-4-quality", "رده‌بند سنجش، از نو روی همهٔ آزمون، دست‌کم ۹۹٪")
def classifier(e: Evidence) -> Finding:
    shipped = e.shipped["mnist-classifier"]
    images, labels = mnist.unpack_images(shipped.slice["test_images"]), torch.from_numpy(shipped.slice["test_labels"])
    accuracy = score(e.networks["mnist-classifier"], images, labels)["accuracy"]
    whole = len(labels) == mnist.SHAPES["t10k-labels-idx1-ubyte"][0]
    return whole and accuracy >= 0.99, fa_percent(accuracy, 2)


@check("quality-order", "1.4", "sec-1-4-quality", "فاصلهٔ فرشه: آزمون واقعی، آنگاه شبکهٔ ما، آنگاه پیکسل‌های مستقل")
def quality_order(e: Evidence) -> Finding:
    """Measured again on the first thousand images of each, beside the same training images as the stored numbers."""
    result, judge = e.shipped["pixelcnn-samples"], e.networks["mnist-classifier"]
    names = ("real-dynamic", result.config.shown, INDEPENDENT)
    found = []
    for name in names:
        images = result.images(name)
        images = images[:: max(1, len(images) // 1000)] if name.startswith("real") else images[:1000]
        found.append(measures(judge, images, result.reference(result.binarization(name)))["frechet"])
    stored = [result.measures[name]["frechet"] for name in names]
    rising = all(values[0] < values[1] < values[2] for values in (found, stored))
    return rising, " < ".join(fa(value, 1) for value in stored)


@check("not-memorised", "1.4", "sec-1-4-quality", "نمونه‌ها رونوشت تصویر آموزش نیستند")
def not_memorised(e: Evidence) -> Finding:
    """No sample is a training image, and few lie nearer to one than nearly all test images do; the shown, counted again."""
    result = e.shipped["pixelcnn-samples"]
    neighbours, distances = result.images("neighbours"), result.distances(result.config.shown)
    apart = (result.images(result.config.shown)[: len(neighbours)] != neighbours).flatten(1).sum(1)
    counted = apart.tolist() == distances[: len(apart)].tolist()
    close = near(distances, result.distances("real-dynamic"))["distance_below"]
    return counted and distances.min() > 0 and close < 3 * QUANTILE, f"کمترین فاصله {fa_int(distances.min())} پیکسل"


def samplers_agree(model: Any, count: int) -> Finding:
    """``count`` images from one seed: by every method those of full passes, and neither all dark nor all lit."""
    again, mixed = Again(), True
    for name in METHODS:
        drawn = sample(model, count, torch.Generator().manual_seed(5), method=name, temperature=5.0)
        again += replay(model, drawn, torch.Generator().manual_seed(5), temperature=5.0)
        mixed &= 0.05 < drawn.mean().item() < 0.95
    return again.holds and mixed, f"{fa_int(len(METHODS))} روش، {fa_int(again.draws)} پیکسل"


def on_images(model: Any, size: tuple[int, int]) -> Any:
    """The same weights for images of another size: the network is convolutional."""
    small = type(model)(model.config, image_size=size)
    small.load_state_dict(model.state_dict())
    return small.eval()


class _Struck(Exception):
    """Stands in for whatever ends a training in the middle of a step."""


def resumes(name: str, steps: int = 6, struck: int = 4) -> Finding:
    """A tiny training of stage ``name`` that dies in step ``struck`` and goes on, against one left in peace."""
    stage = stages.get(name)
    config, dataset = stage.tiny(stage.config("smoke"))
    brief = replace(config.training, steps=steps, warmup_steps=1, batch_size=4, evaluations=0, ema_decay=0.5)
    config = replace(config, training=brief)
    objective = stage.objective(config)
    calls = 0

    def deadly(model: Any, batch: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == struck:
            raise _Struck
        return objective.total(model, batch)

    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"checkpoint": Path(folder) / "run.pt", "checkpoint_seconds": 0.0, "alone": True}
        try:
            loop.train(stage.seeded_model(config), dataset, replace(objective, total=deadly), brief, **options)
            return False, "قطع نشد"
        except _Struck:
            torch.manual_seed(99)  # no state of the dead run may be needed
        resumed = stage.seeded_model(config)
        record = loop.train(resumed, dataset, objective, brief, **options)
    peaceful = stage.seeded_model(config)
    whole = loop.train(peaceful, dataset, objective, brief, alone=True)
    pairs = zip(resumed.state_dict().values(), peaceful.state_dict().values(), strict=True)
    same = record.losses == whole.losses and all(torch.equal(a, b) for a, b in pairs)
    return same, f"قطع در گام {fa_int(struck)} از {fa_int(steps)}"
