"""How matplotlib sets Persian: the project's own font, letter shaping where matplotlib lacks it, Persian digits, SVG.

From 3.11 on matplotlib shapes and orders right-to-left text itself (libraqm), and text shaped beforehand comes out
garbled; up to 3.10 it draws code points from left to right, so that ``arabic-reshaper`` and ``python-bidi`` have to
do the work. ``persian_text`` is the one place that knows. Fonts come from ``assets/fonts``, never from the system.
What it does not do: draw anything (``genmodels.report.canvas`` and the sections) or format numbers for prose (``genmodels.report.persian``).
"""

from __future__ import annotations

import functools
import re

import matplotlib as mpl
from matplotlib import font_manager, ticker
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure

from genmodels.errors import UserError
from genmodels.report.persian import DECIMAL, MINUS, PERSIAN_DIGITS
from genmodels.system.places import ASSETS

FONTS = ASSETS / "fonts"
FAMILY = "Vazirmatn"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")  # Okabe and Ito (2008)
SHAPES_ITSELF = tuple(int(part) for part in re.findall(r"\d+", mpl.__version__)[:2]) >= (3, 11)

_RTL_LETTER = re.compile("[\u0621-\u064a\u066e-\u06d3\u06fa-\u06ff\u0750-\u077f]")
_CONTROLS = re.compile("[\u200c-\u200f\u202a-\u202e\u2066-\u2069]")  # order and joining marks: no glyphs once set
_RLM = "\u200f"
_PATH, _DECIMALS = re.compile(r'\bd="[^"]*"'), re.compile(r"(\.\d\d)\d+")
# هٔ: matplotlib ≤ 3.10 cannot place the combining hamza; the font has the pair as one glyph.
_HEH_HAMZA = re.compile("([\ufee9\ufeea])\u0654")
_CALL = re.compile("([A-Za-z\u0370-\u03ff][\\w′]*\\([^()\u0600-\u06ff]*\\))")  # L(θ): its brackets belong to it
_HEH = {"\ufee9": "\u06c0", "\ufeea": "\ufba5"}


def use_style() -> None:
    """Set the report's look for all later figures; harmless to call again. Raises ``UserError`` without the fonts."""
    _register_fonts()
    mpl.rcParams.update(
        {
            "font.family": [FAMILY, "DejaVu Sans"],  # DejaVu ships inside matplotlib: Greek, arrows, superscripts
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "mathtext.fontset": "dejavusans",
            "mathtext.default": "regular",
            "axes.unicode_minus": True,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#5B6572",
            "axes.linewidth": 0.8,
            "axes.prop_cycle": mpl.cycler(color=PALETTE),
            "grid.alpha": 0.3,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "savefig.facecolor": "white",
            "svg.fonttype": "path",  # no font is needed to look at the figure
            "svg.hashsalt": "genmodels",  # the same figure gives the same bytes
        }
    )
    _inline_figures_as_svg()


def persian_text(text: str) -> str:
    """``text`` as matplotlib must receive it to draw it right; text without Persian letters comes back as it is.

    A label cannot mix Persian and ``$…$`` (neither is set right then): ``ValueError``. Write L(θ) in Unicode.
    """
    if not _RTL_LETTER.search(text):
        return _CONTROLS.sub("", text)
    if "$" in text:
        raise ValueError(f"a label cannot mix Persian and $…$: {text!r}; write the formula in Unicode")
    if SHAPES_ITSELF:
        return "\n".join(_RLM + line for line in text.split("\n"))
    return "\n".join(map(_shaped, text.split("\n")))


def persian_ticks(axes: Axes) -> None:
    """Persian digits on both axes, linear or logarithmic; axes with names for ticks (or none) are left alone."""
    fixed = (ticker.FixedFormatter, ticker.NullFormatter, ticker.FuncFormatter, StrCategoryFormatter)
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_formatter(), fixed):
            continue
        if axis.get_scale() == "log":
            axis.set_major_formatter(PersianLogFormatter())
            axis.set_minor_formatter(ticker.NullFormatter())
        else:
            axis.set_major_formatter(PersianFormatter())


class PersianFormatter(ticker.ScalarFormatter):
    """Linear ticks: as many decimals as the spacing of the ticks needs, no offset, no powers of ten."""

    def __init__(self) -> None:
        super().__init__(useOffset=False)
        self.set_scientific(False)

    def __call__(self, x: float, pos: int | None = None) -> str:
        return super().__call__(x, pos).translate(PERSIAN_DIGITS).replace(".", DECIMAL)


class PersianLogFormatter(ticker.LogFormatter):
    """Logarithmic ticks: the powers of the base as ۱۰ with a raised exponent, nothing between them."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        exponent = round(ticker.math.log(x, self._base)) if x > 0 else None
        if exponent is None or abs(self._base**exponent / x - 1) > 1e-6:
            return ""
        base, power = f"{self._base:g}".translate(PERSIAN_DIGITS), str(exponent).translate(PERSIAN_DIGITS)
        return rf"$\mathdefault{{{base}^{{{power.replace('-', MINUS)}}}}}$"


def _shaped(line: str) -> str:
    """Joined letters in drawing order, for a matplotlib that only draws code points from left to right."""
    from arabic_reshaper import ArabicReshaper
    from bidi.algorithm import get_display  # this one mirrors brackets; it knows embeddings, not isolates

    shaper = ArabicReshaper({"delete_harakat": False, "ARABIC LIGATURE ALLAH": False})
    line = _CALL.sub("\u202a\\1\u202c", line.translate({0x2066: 0x202A, 0x2069: 0x202C}))
    line = shaper.reshape(line)
    return _CONTROLS.sub("", get_display(_HEH_HAMZA.sub(lambda m: _HEH[m[1]], line), base_dir="R"))


def _register_fonts() -> None:
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for weight in ("Regular", "Medium", "Bold"):
        path = FONTS / f"Vazirmatn-{weight}.ttf"
        if not path.is_file():
            raise UserError(f"the font {path} is missing; restore the folder assets/fonts of the repository")
        if str(path) not in known:
            font_manager.fontManager.addfont(str(path))


def _inline_figures_as_svg() -> None:
    """Inside a notebook kernel, figures leave as SVG; elsewhere there is nothing to do."""
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    shell = get_ipython()
    if shell is None:
        return
    set_matplotlib_formats("svg")
    formatter = shell.display_formatter.formatters["image/svg+xml"]
    drawn = formatter.lookup_by_type(Figure)
    if not hasattr(drawn, "__wrapped__"):

        @functools.wraps(drawn)
        def short(figure: Figure) -> str:
            return rounded_paths(drawn(figure))

        formatter.for_type(Figure, short)


def rounded_paths(svg: str) -> str:
    """``svg`` with two decimals in the coordinates of its paths, of the six that matplotlib writes: half the file."""
    return _PATH.sub(lambda path: _DECIMALS.sub(r"\1", path[0]), svg)
