"""The Persian names of what the document speaks of by a key: stages, corpora, splits, steps, settings and runs.

The order of a dictionary is the order of a table's rows or a figure's lines. Words of one section alone stand there.
"""

from __future__ import annotations

STAGE_NAMES = {
    "text": "آماده‌سازی متن", "pixelcnn": "شبکهٔ خواسته‌شده", "pixelcnn-gated": "شبکهٔ دوپشته‌ای",
    "pixelcnn-threshold": "خواسته‌شده، آستانه‌ای", "pixelcnn-homework": "خواسته‌شده، آموزش رایج",
    "pixelcnn-study": "اجزای PixelCNN", "ngram": "کنسر–نی", "rnn": "شبکهٔ بازگشتی",
    "rnn-classic": "بازگشتی، پیکرهٔ کلاسیک", "transformer": "ترنسفورمر",
    "transformer-classic": "ترنسفورمر، پیکرهٔ کلاسیک",
    "rnn-best": "بازگشتی، بهترین تنظیم", "transformer-best": "ترنسفورمر، بهترین تنظیم",
    "rnn-study": "اندازه‌های شبکهٔ بازگشتی", "rnn-study-small": "اندازه‌های کوچک‌تر",
    "transformer-study": "اجزای ترنسفورمر", "transfer": "یادگیری انتقالی",
    "mnist-classifier": "رده‌بند رقم‌ها", "pixelcnn-samples": "نمونه‌های تصویر",
    "generation": "نمونه‌های متن", "vocabularies": "اندازه‌های واژگان", "speed-decoding": "سرعت تولید",
    "speed-sampling": "سرعت نمونه‌گیرها",
    "speed-peers": "سرعت در برابر PyTorch", "speed-text": "سرعت آماده‌سازی", "speed-bpe": "سرعت BPE",
    "speed-training": "سرعت آموزش PixelCNN", "page": "مدل‌های درون صفحه",
}  # fmt: skip
SHORT_NAMES = {  # of models, and of the images beside theirs, where a column is narrow or another one says the rest
    "rnn": "بازگشتی", "rnn-classic": "بازگشتی، کلاسیک", "transformer-classic": "ترنسفورمر، کلاسیک",
    "pixelcnn": "خواسته‌شده", "pixelcnn-threshold": "خواسته‌شده", "pixelcnn-gated": "دوپشته‌ای",
    "pixelcnn-homework": "آموزش رایج",
    "independent": "پیکسل‌های مستقل", "real-dynamic": "آزمون واقعی", "real-threshold": "آزمون واقعی",
}  # fmt: skip
CORPUS_NAMES = {"fluent": "روان", "classic": "کلاسیک"}
SPLIT_NAMES = {"train": "آموزش", "validation": "اعتبارسنجی", "test": "آزمون"}
BINARIZATION_NAMES = {"dynamic": "پویا", "threshold": "آستانه‌ای"}
NORMALIZATION_STEPS = {"raw": "خام", "cleaned": "پاک‌سازی‌شده", "normalized": "نرمال‌شده با hazm"}
CLASSIC_STEPS = {"words": "واژه‌ها و نشانه‌ها", "content": "پس از حذف ایست‌واژه و نشانه", "lemmas": "پس از لم‌یابی"}
DECODING_NAMES = {  # the settings of stage generation
    "temperature-0.5": "دمای ۰٫۵، top-p برابر ۰٫۹۵", "temperature-0.8": "دمای ۰٫۸، top-p برابر ۰٫۹۵",
    "temperature-1.1": "دمای ۱٫۱، top-p برابر ۰٫۹۵", "greedy": "حریصانه", "greedy-penalty": "حریصانه، جریمهٔ تکرار ۱٫۳",
    "plain": "دمای ۱، بی برش", "top-k": "دمای ۱، top-k برابر ۴۰", "top-p": "دمای ۱، top-p برابر ۰٫۹",
    "min-p": "دمای ۱، min-p برابر ۰٫۰۵",
}  # fmt: skip
PIXEL_RUNS = {  # of stage pixelcnn-study
    "spec": "شبکهٔ خواسته‌شده", "residual": "با اتصال باقی‌مانده", "gates": "با دروازه به جای ReLU",
    "place": "با بایاس جایگاه‌شناس",
    "two-stacks": "با دو پشته", "ours": "شبکهٔ ما: دو پشته، دروازه، جایگاه", "drawn": "خواسته‌شده، هدف: بیت قرعه",
    "adamw": "خواسته‌شده، AdamW به جای Muon",
}  # fmt: skip
TARGET_RUNS = {"targets-all": "همهٔ جایگاه‌ها", "targets-last": "تنها جایگاه آخر"}  # of stage rnn-study
TRANSFORMER_RUNS = {  # of stage transformer-study
    "base": "مدل پایه",
    "second-seed": "همان با دانهٔ تصادفی دیگر",
    "learned": "بردار جایگاه آموختنی به جای RoPE",
    "layer": "LayerNorm به جای RMSNorm",
    "post": "هنجارش پس از شاخه",
    "gelu": "GELU به جای SwiGLU",
    "untied": "ماتریس خروجی جدا",
    "multi-query": "یک سر کلید و مقدار",
    "muon": "Muon به جای AdamW",
}


def short_name(key: str) -> str:
    """The short name of a model, or of the images that stand beside those of models."""
    return SHORT_NAMES[key] if key in SHORT_NAMES else STAGE_NAMES[key]
