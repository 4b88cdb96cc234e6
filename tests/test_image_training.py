"""The table and the plot of training speeds, on numbers made up here."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from genmodels.report import image_training
from genmodels.stages.speed.training import FORMS, SETTINGS

ROW = {"images_per_second": 12.34, "ratio": 1.75, "flops": 2.7e9, "gflops_per_second": 66.6, "of_product": 0.876}


def law(power: float) -> dict[str, Any]:
    flops = {"channels": [2e8, 7e8, 3e9], "layers": [6e8, 3e9], "side": [7e8, 3e9]}
    points = [
        {"varied": name, "flops": x, "seconds": 1e-11 * x**power} for name, values in flops.items() for x in values
    ]
    return {"law": points, "exponents": {"flops": power}}


def test_every_form_and_every_series_has_a_name() -> None:
    assert (
        image_training.FORMS.keys() == FORMS.keys() and image_training.VARIED.keys() == SETTINGS["full"]["law"].keys()
    )


def test_a_row_for_each_form_that_ran() -> None:
    rows = image_training.form_rows({"forms": [ROW | {"form": "naive"}, ROW | {"form": "spectral"}]})
    assert [row["روش"] for row in rows] == ["هستهٔ کامل در ماسک", "تبدیل فوریه"]
    assert list(rows[0].values())[1:] == ["۱۲٫۳", "۱٫۷۵", "۲٫۷۰", "۶۷", "۸۸٪"]


@pytest.mark.filterwarnings("error:Glyph")
@pytest.mark.parametrize("power", [1.0, 0.7])
def test_the_line_of_an_exact_law_goes_through_its_points(power: float) -> None:
    measured = law(power)
    figure = image_training.cost_law(measured, 50_000)
    figure.savefig(io.BytesIO(), format="svg")
    (ax,) = figure.axes
    *series, line = ax.lines
    assert [len(one.get_xdata()) for one in series] == [3, 2, 2]
    assert len({one.get_marker() for one in series}) == 3
    x, y = line.get_data()
    assert np.allclose(y, 1e3 * 1e-11 * (1e9 * x) ** power)
    (right,) = ax.child_axes
    assert np.allclose(np.array(ax.get_ylim()) * 50_000 / 60_000, right.get_ylim())
    labels = [label.get_text() for axis in (ax.xaxis, ax.yaxis, right.yaxis) for label in axis.get_ticklabels()]
    assert labels and not set("".join(labels)) & set("0123456789.")
