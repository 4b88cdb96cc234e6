"""Every experiment's settings, one frozen dataclass each, and the names of the profiles (``stages/profiles.py``).

The fields' ``meta`` texts (Persian, for the report's hyper-parameter tables) carry the unit or the reason;
the tables are generated from them, so the document cannot drift from what was run. There is no second
configuration system: the command line chooses a stage and a profile, nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from typing import Any

from genmodels.errors import UserError

PROFILES = ("full", "evening", "smoke")
PROFILE_VARIABLE = "GENMODELS_PROFILE"  # the profile whose results the document shows
MUON = 0.95  # the usual momentum


def chosen_profile() -> str:
    """The profile that ``GENMODELS_PROFILE`` names, or ``full``; ``UserError`` where there is none of that name."""
    name = os.environ.get(PROFILE_VARIABLE) or PROFILES[0]
    if name not in PROFILES:
        raise UserError(f"{PROFILE_VARIABLE}={name}: there is no such profile; the profiles are {', '.join(PROFILES)}")
    return name


def setting(default: Any, label: str, unit: str = "", **off: Any) -> Any:
    """A dataclass field with the Persian label (and unit or reason) that the report's tables print.

    A field that a manifest lacks counts as its default, so that a new one must mean "as before" there. With ``off`` that
    value switches the field off: the tables leave it out.
    """
    return field(default=default, metadata={"label": label, "unit": unit} | off)


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the one training loop (``training/loop.py``).

    ``momentum`` 0 is AdamW alone, else Muon on the inner matrices; ``cooldown`` 0 is half a cosine, else the rate is
    constant until that share of the steps is left.
    """

    seed: int = setting(1, "دانهٔ تصادفی")
    batch_size: int = setting(32, "اندازهٔ دسته", "نمونه در هر گام، روی همهٔ فرایندها")
    steps: int = setting(1000, "شمار گام‌ها", "گام بهینه‌ساز")
    learning_rate: float = setting(1e-3, "بیشینهٔ نرخ یادگیری")
    warmup_steps: int = setting(50, "گام‌های گرم‌کردن", "افزایش خطی نرخ یادگیری")
    final_learning_rate: float = setting(0.0, "نرخ یادگیری پایانی", "پایان کاهش")
    beta1: float = setting(0.9, "ضریب β۱ در AdamW")
    beta2: float = setting(0.99, "ضریب β۲ در AdamW")
    weight_decay: float = setting(0.0, "میرایی وزن", "تنها برای ماتریس‌ها")
    gradient_clip: float = setting(1.0, "برش گرادیان", "نُرم کل")
    ema_decay: float = setting(0.0, "میانگین نمایی وزن‌ها", "صفر یعنی خاموش")
    bf16: bool = setting(True, "محاسبهٔ bf16", "در گذرها، اگر پردازنده دارد؛ وزن‌ها fp32")
    evaluations: int = setting(10, "شمار ارزیابی‌ها", "هم‌فاصله در طول آموزش")
    momentum: float = setting(0.0, "تکانهٔ Muon", "ماتریس‌های درونی؛ بقیه با AdamW", off=0.0)
    expected_targets: bool = setting(False, "هدف میانگین‌گرفته", "شدت پیکسل به جای بیت آن در زیان", off=False)
    cooldown: float = setting(0.0, "سهم فرود", "از گام‌های پایانی؛ پیش از آن نرخ ثابت است", off=0.0)
    weight_decay_from: int = setting(0, "آغاز میرایی وزن", "گام؛ پیش از آن صفر است", off=0)


@dataclass(frozen=True)
class PixelCNNModelConfig:
    """The assignment's stack: ``kernels[i]`` is the side of layer i; the first layer has mask A, the rest B."""

    channels: int = setting(64, "شمار کانال‌ها")
    kernels: tuple[int, ...] = setting((7, 7, 7, 7, 7, 7, 1, 1), "اندازهٔ هسته‌ها")


@dataclass(frozen=True)
class GatedModelConfig:
    """Our two-stack network without blind spot (``pixelcnn/gated.py``)."""

    channels: int = setting(40, "شمار کانال‌ها", "در هر یک از دو پشته")
    layers: int = setting(6, "شمار لایه‌ها", "عمودی و افقی؛ دو لایهٔ ۱×۱ پس از آن‌ها")
    first_kernel: int = setting(7, "هستهٔ لایهٔ نخست")
    kernel: int = setting(7, "هستهٔ لایه‌های دیگر")
    residual: bool = setting(False, "اتصال باقی‌مانده")
    placed: bool = setting(True, "بایاس جایگاه‌شناس", "با سطر و ستون پیکسل تغییر می‌کند")


@dataclass(frozen=True)
class ImageConfig:
    """An experiment on binarised MNIST; a subclass says with which ``model``."""

    model: Any = None
    training: TrainingConfig = TrainingConfig()
    binarization: str = setting("dynamic", "دودویی‌سازی آموزش", "هر بار از نو، با احتمال برابر شدت پیکسل")
    validation_images: int = setting(10_000, "تصویرهای اعتبارسنجی", "آخرین تصویرهای مجموعهٔ آموزش")
    curve_images: int = setting(1000, "تصویرهای نقطهٔ منحنی", "هم‌فاصله در هر مجموعه")
    test_images: int = setting(10_000, "تصویرهای آزمون پایانی")


@dataclass(frozen=True)
class PixelCNNConfig(ImageConfig):
    """PixelCNN."""

    model: PixelCNNModelConfig = PixelCNNModelConfig()


@dataclass(frozen=True)
class ClassifierModelConfig:
    """The digit classifier that measures drawn images (``pixelcnn/quality.py``)."""

    channels: tuple[int, int, int] = setting((32, 64, 64), "کانال‌های پیچش‌ها")
    features: int = setting(64, "ویژگی‌های لایهٔ پیش از آخر")


@dataclass(frozen=True)
class ClassifierConfig(ImageConfig):
    """Ten classes."""

    model: ClassifierModelConfig = ClassifierModelConfig()


@dataclass(frozen=True)
class GatedPixelCNNConfig(PixelCNNConfig):
    """The same experiment with our improved network."""

    model: GatedModelConfig = GatedModelConfig()  # type: ignore[assignment]


@dataclass(frozen=True)
class TextConfig:
    """Preparation of one corpus: ``fluent`` (normalised only) or ``classic`` (stop words out, lemmatised)."""

    corpus: str = setting("fluent", "پیکره")
    vocabulary: int = setting(8000, "اندازهٔ واژگان BPE")
    documents: int = setting(0, "سندهای آموزش", "هم‌فاصله در پرونده؛ از بقیه یک‌پنجم آن", off=0)


@dataclass(frozen=True)
class RecurrentModelConfig:
    """LSTM language model with tied embeddings."""

    embedding: int = setting(256, "بُعد بردار واژه")
    hidden: int = setting(512, "بُعد حالت پنهان", "بازگشتی: لایه‌های میانی؛ بُعد لایهٔ آخر با بردار واژه برابر است")
    layers: int = setting(2, "شمار لایه‌ها")
    dropout: float = setting(0.1, "حذف تصادفی", "بازگشتی: ماسک ثابت در طول دنباله")


@dataclass(frozen=True)
class TransformerModelConfig:
    """Decoder-only Transformer: pre-norm, RoPE, RMSNorm, SwiGLU, tied embeddings, grouped-query attention."""

    width: int = setting(256, "بُعد مدل")
    layers: int = setting(4, "شمار بلوک‌ها")
    heads: int = setting(4, "شمار سرها")
    kv_heads: int = setting(4, "شمار سرهای کلید و مقدار")
    hidden: int = setting(512, "بُعد لایهٔ SwiGLU")
    dropout: float = setting(0.1, "حذف تصادفی")
    context: int = setting(128, "بیشترین طول بافت", "توکن")


@dataclass(frozen=True)
class LanguageModelConfig:
    """A language model on prepared tokens; ``model`` says which network."""

    model: RecurrentModelConfig | TransformerModelConfig
    text: TextConfig = TextConfig()
    training: TrainingConfig = TrainingConfig()
    window: int = setting(128, "طول پنجره", "توکن پیش‌بینی‌شده در هر نمونه")
    curve_documents: int = setting(30, "سندهای هر نقطهٔ منحنی", "از مجموعهٔ اعتبارسنجی")
    evaluation_documents: int = setting(0, "سندهای ارزیابی پایانی", "صفر یعنی همهٔ سندهای آزمون و اعتبارسنجی")


@dataclass(frozen=True)
class TransferConfig:
    """One arm of the transfer study: a network on so much of a target text, from this start, trained in this way.

    ``rates`` are tried with the first seed, and the best on validation text is taken for all ``seeds``.
    """

    model: TransformerModelConfig
    training: TrainingConfig
    target: str = setting("verse", "متن هدف")
    kilobytes: int = setting(0, "اندازهٔ متن هدف", "هزار بایت UTF-8؛ صفر یعنی همه")
    start: str = setting("pretrained", "آغاز", "از پیش آموخته، یا از صفر با توکن‌ساز ما یا خودش")
    source: str = setting("transformer/full", "مدل پیش‌آموخته", "وزن‌ها، توکن‌ساز و متن آزمونِ فراموشی")
    vocabulary: int = setting(8000, "شمار توکن‌ها")
    method: str = setting("full", "آنچه آموزش می‌بیند")
    rank: int = setting(0, "رتبهٔ LoRA", off=0)
    replay: float = setting(0.0, "سهم بازپخش ویکی‌پدیا", "از پنجره‌ها", off=0.0)
    rates: tuple[float, ...] = setting((1e-3,), "نرخ‌های آزموده", "با دانهٔ نخست؛ بهترین بر متن اعتبارسنجی")
    seeds: int = setting(3, "شمار دانه‌ها")
    averages: tuple[float, ...] = setting((), "سهم وزن‌های تازه در میانگین", off=())
    window: int = setting(128, "طول پنجره", "توکن پیش‌بینی‌شده در هر نمونه")
    evaluation_documents: int = setting(0, "سندهای ارزیابی", "صفر یعنی همه")
    poems: int = setting(16, "شعرهای نمونه", "برای سنجش قالب؛ نخستین نشان داده می‌شود")
    poem_tokens: int = setting(160, "درازای هر شعر", "توکن")


@dataclass(frozen=True)
class NgramConfig:
    """Modified Kneser-Ney n-gram models on the tokens that the networks see; the last order is the headline."""

    orders: tuple[int, ...] = setting((1, 2, 3, 4, 5), "مرتبه‌های n", "برای هر مرتبه یک مدل جدا")
    text: TextConfig = TextConfig()
    train_documents: int = setting(0, "سندهای آموزش", "صفر یعنی همه")
    sample_tokens: int = setting(40, "طول نمونهٔ هر مرتبه", "توکن، از آغاز سند")
    seed: int = setting(1, "دانهٔ تصادفی", "تنها برای نمونه‌ها؛ شمردن تصادفی نیست")


@dataclass(frozen=True)
class PageConfig:
    """The models as the HTML page carries them: few enough levels that it stays small, enough that losses stay."""

    text_levels: int = setting(15, "بزرگ‌ترین وزن متن", "عدد درست، با یک مقیاس در هر سطر")
    image_levels: int = setting(127, "بزرگ‌ترین وزن تصویر", "عدد درست، با یک مقیاس در هر سطر")
    least: tuple[int, ...] = setting((1, 2, 2), "کمترین شمار n-gram", "در هر مرتبه؛ کمیاب‌تر کنار می‌رود")
    text: TextConfig = TextConfig()


def to_plain(config: Any) -> Any:
    """A config, or a mapping of configs, as JSON-able values (tuples become lists), for manifests and comparison."""
    return json.loads(json.dumps(config, default=dataclasses.asdict))


def differences(asked: Any, stored: Any, prefix: str = "") -> list[str]:
    """Every leaf that differs, as ``name: asked X, stored Y``; empty when the two agree.

    ``asked``: a config, a mapping of them, or plain values; ``stored``: plain values. A field of a config that ``stored``
    lacks counts as its declared default; one that the config lacks is a difference.
    """
    if not isinstance(stored, dict) or not (isinstance(asked, dict) or dataclasses.is_dataclass(asked)):
        asked = to_plain(asked)
        return [] if asked == stored else [f"{prefix}: asked {asked!r}, stored {stored!r}"]
    ours, theirs = (asked, stored) if isinstance(asked, dict) else (vars(asked), _defaults(asked) | stored)
    rows: list[str] = []
    for key in sorted(ours.keys() | theirs.keys()):
        name = f"{prefix}.{key}" if prefix else key
        rows += differences(ours.get(key, "(absent)"), theirs.get(key, "(absent)"), name)
    return rows


def _defaults(config: Any) -> dict[str, Any]:
    """Plain values of the fields of a dataclass that have a default."""
    made = {
        f.name: f.default_factory() for f in dataclasses.fields(config) if f.default_factory is not dataclasses.MISSING
    }
    given = {f.name: f.default for f in dataclasses.fields(config) if f.default is not dataclasses.MISSING}
    return to_plain(given | made)
