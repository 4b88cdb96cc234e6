"""Section 1.4: drawn and completed images and what was measured on them: galleries, quality, where a model is unsure.

Rows of images and panels are read from right to left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from genmodels.report.canvas import BLUE, LINES, ORANGE, as_images, new_figure, show_ink, tile
from genmodels.report.names import BINARIZATION_NAMES, short_name
from genmodels.report.persian import fa, fa_int
from genmodels.report.plotting import PersianFormatter, persian_text, persian_ticks


def grid(images: Any, side: float, columns: int = 10) -> Figure:
    """All images in rows of ``columns``, a square of ``side`` inches."""
    figure, ax = new_figure(side, side)
    show_ink(ax, tile(images, columns))
    return figure


def temperatures(warm: Any, cool: Any, temperature: float, columns: int = 10) -> Figure:
    """Two grids of the same random numbers: right the model's own distribution, left a lower temperature."""
    figure, axes = new_figure(6.6, 3.4, 1, 2, gridspec_kw={"wspace": 0.12})
    for ax, images, label in zip(
        axes, (cool, warm), (f"همان دانه با دمای {fa(temperature)}", f"دمای {fa(1)}: توزیع خود مدل")
    ):
        show_ink(ax, tile(images, columns))
        ax.set_title(persian_text(label), fontsize=9)
    return figure


def completions(truth: Any, mask: Any, drawn: Any) -> Figure:
    """One row an image: the truth, what was kept of it, and its completions.

    ``truth`` (N, 28, 28), ``mask`` (28, 28) True where kept, ``drawn`` (N, K, 28, 28). Read from right to left.
    """
    truth = as_images(truth)
    keep = np.asarray(mask, dtype=bool).reshape(truth.shape[1:])
    drawn = np.asarray(drawn, dtype=float).reshape(len(truth), -1, *truth.shape[1:])
    columns = drawn.shape[1] + 2
    kept = np.where(keep, truth, 0.25 * (~keep))  # the hidden part as a grey veil
    rows = np.concatenate([drawn[:, ::-1], kept[:, None], truth[:, None]], axis=1)  # right to left
    canvas = tile(rows.reshape(-1, *truth.shape[1:]), columns)
    figure, ax = new_figure(4.2, 4.2 * canvas.shape[0] / canvas.shape[1] + 0.25)
    show_ink(ax, canvas)
    step, middle = truth.shape[2] + 2, truth.shape[2] / 2
    labels = [((columns - 1) * step + middle, "اصل"), ((columns - 2) * step + middle, "داده‌شده")]
    labels.append(((drawn.shape[1] * step - 2) / 2, "کامل‌شده با مدل"))
    for x, label in labels:
        ax.text(x, -3, persian_text(label), ha="center", va="bottom", fontsize=9)
    return figure


def quality_rows(result: Any) -> list[dict[str, str]]:
    """``result.measures`` as table rows, from the nearest to the training images to the farthest."""
    rows = []
    for name, found in sorted(result.measures.items(), key=lambda item: item[1]["frechet"]):
        rows.append(
            {
                "تصویرها": short_name(name),
                "دودویی‌سازی": BINARIZATION_NAMES[result.binarization(name)],
                "فاصلهٔ فرشه، $d^2$": fa(found["frechet"], 2),
                "رده‌های جابه‌جا (٪)": fa(100 * found["classes_apart"], 1),
                "اطمینان (٪)": fa(100 * found["confidence"], 1),
                "بی‌رده (٪)": fa(100 * found["unsure"], 1),
                "فاصله تا آموزش (پیکسل)": fa(found["distance_median"], 0),
                "بسیار نزدیک (٪)": fa(100 * found["distance_below"], 1),
            }
        )
    return rows


def gallery_rows(result: Any) -> list[tuple[str, Any, list[str]]]:
    """The rows of ``gallery``: first samples, nearest training images, worst samples, least likely test images; then
    the first samples of every other model that was taught images binarised alike."""
    shown, worst, unlikely = result.config.shown, result.metrics["worst"], result.metrics["unlikely"]
    samples, neighbours = result.images(shown), result.images("neighbours")
    count, taught = len(neighbours), result.binarization(shown)
    others = [name for name in result.config.models if name != shown and result.binarization(name) == taught]
    return [
        ("نمونه‌های نخست", samples[:count], []),
        ("نزدیک‌ترین آموزش", neighbours, [fa_int(each) for each in result.distances(shown)[:count]]),
        ("بدترین نمونه‌ها", samples[worst["places"]], [fa(each, 1) for each in worst["entropy_bits"]]),
        ("نامحتمل‌ترین آزمون", result.images("unlikely"), [fa(each, 0) for each in unlikely["nll_nats"]]),
        *((short_name(name), result.images(name)[:count], []) for name in others),
    ]


def gallery(rows: Sequence[tuple[str, Any, Sequence[str]]], columns: int = 10) -> Figure:
    """Labelled rows of images with a few words under each image: ``(label, images, words)``, the first on the right."""
    figure, axes = new_figure(6.4, 0.7 * len(rows), len(rows), 1, squeeze=False)
    for ax, (label, images, words) in zip(axes[:, 0], rows):
        shown = as_images(images)[:columns]
        show_ink(ax, tile(shown[::-1], columns))
        height, width = shown.shape[1:]
        for place, word in enumerate(reversed(words[: len(shown)])):
            ax.text(
                place * (width + 2) + width / 2, height + 1, persian_text(word), ha="center", va="top", fontsize=7.5
            )
        ax.text(1.02, 0.5, persian_text(label), transform=ax.transAxes, ha="left", va="center", fontsize=9)
    return figure


def hardness(image: Any, entropy: Any, surprise: Any, class_nll: Sequence[float]) -> Figure:
    """Where the model is unsure: right a map of each pixel's entropy, middle the sum as the image grows, left by class.

    ``image``, ``entropy`` and ``surprise`` (H, W), the latter in bits; ``class_nll`` nats per image of digits 0 to 9.
    """
    image, entropy, surprise = (np.asarray(part, dtype=float) for part in (image, entropy, surprise))
    figure, (by_class, by_row, where) = new_figure(6.8, 2.45, 1, 3, gridspec_kw={"width_ratios": [1.15, 1, 1.15]})
    colour = where.imshow(entropy, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    edges = np.arange(image.shape[0] + 1) - 0.5
    where.contour(
        np.kron(image, np.ones((8, 8))),
        levels=[0.5],
        colors=[ORANGE],
        linewidths=0.8,
        extent=(edges[0], edges[-1], edges[0], edges[-1]),
    )
    where.set(xticks=[], yticks=[])
    where.grid(False)
    where.spines[:].set_visible(True)
    where.set_title(persian_text("آنتروپی هر پیکسل (بیت)"), fontsize=9)
    bar = figure.colorbar(colour, ax=where, shrink=0.8)
    bar.ax.tick_params(labelsize=8)
    persian_ticks(bar.ax)

    rows = np.arange(1, image.shape[0] + 1)
    for values, label, (line, style, _) in ((entropy, "انتظار", LINES[0]), (surprise, "واقعی", LINES[1])):
        by_row.plot(rows, values.sum(1).cumsum(), color=line, linestyle=style, linewidth=1.6, label=persian_text(label))
    by_row.set_title(persian_text("مجموع بیت‌ها تا هر سطر"), fontsize=9)
    by_row.set_xlabel(persian_text("سطر"), fontsize=9)
    by_row.legend(fontsize=8, loc="upper left")

    digits = np.arange(len(class_nll))
    by_class.bar(digits, class_nll, color=BLUE, alpha=0.75, edgecolor="black", linewidth=0.6)
    for digit, value in zip(digits, class_nll):
        by_class.text(digit, value + 1, fa(value, 0), ha="center", va="bottom", fontsize=8)
    by_class.set_ylim(0, 1.12 * max(class_nll))
    by_class.set_xticks(digits, [fa_int(int(digit)) for digit in digits])
    by_class.grid(False, axis="x")
    by_class.set_title(persian_text("زیان هر رقم (نات بر تصویر)"), fontsize=9)
    for ax in (by_row, by_class):
        ax.tick_params(labelsize=8)
        persian_ticks(ax)
    by_class.yaxis.set_major_formatter(PersianFormatter())
    return figure


def near_edge(image: Any) -> np.ndarray:
    """(H, W) bool: pixels that differ from a neighbour above, below, left or right; beyond the image there is none."""
    image = np.asarray(image)
    edge = np.zeros(image.shape, dtype=bool)
    down, aside = image[1:] != image[:-1], image[:, 1:] != image[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= aside
    edge[:, :-1] |= aside
    return edge
