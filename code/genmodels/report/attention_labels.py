"""The Persian words for what question 2.6 computes: names of steps, readings, layers and lengths, by key.

Only words; ``report/attention.py`` puts them beside numbers. A test checks that every key has its word. No number
follows a Latin word directly: the digits would be set on its wrong side.
"""

from __future__ import annotations

LETTERS = {"a": "آ", "b": "ب", "c": "ج", "d": "د", "e": "ه", "f": "و"}

STEP_LABELS = {
    "a": "توجه استاندارد",
    "b": "حافظهٔ نهان، ۲۰٪ دنباله",
    "c_group": "۶۴ گروه: هر گروه",
    "c_total": "۶۴ گروه: مجموع",
    "d_group": "با ۳۵٪ سربار: هر گروه",
    "d_total": "با ۳۵٪ سربار: مجموع",
    "e_group": "پردازندهٔ ۷۵٪: هر گروه",
    "e_total": "پردازندهٔ ۷۵٪: مجموع",
    "e_extra_group": "افزودهٔ پردازنده: هر گروه",
    "e_extra_total": "افزودهٔ پردازنده: مجموع",
    "f": "روش n log n",
    "f_group": "روش n log n، همان زنجیر: هر گروه",
    "f_total": "روش n log n، همان زنجیر: مجموع",
    "f_ratio": "نسبت (آ) به (و)",
}

ALTERNATIVE_LABELS = {
    "a_both_products": "هر دو ضرب، امتیازها و جمع وزن‌دار (ضرب‌وجمع)",
    "a_both_flops": "همان به FLOP (هر ضرب‌وجمع دو FLOP)",
    "a_projections_flops": "چهار نگاشت خطی Q، K، V و خروجی (FLOP)",
    "a_all_flops": "همهٔ ضرب‌های ماتریسی لایه (FLOP)",
    "a_softmax_flops": "مقیاس و softmax با ۸ سر (عمل ساده)",
    "a_causal": "تنها جفت‌های علّی، هر توکن تا خودش (ضرب‌وجمع)",
    "b_square": "پرسش و کلید هر دو ۲۰٪",
    "b_819": "۸۱۹ توکن، همهٔ کلیدها",
    "b_820": "۸۲۰ توکن، همهٔ کلیدها",
    "b_819_square": "۸۱۹ توکن با یکدیگر",
    "b_820_square": "۸۲۰ توکن با یکدیگر",
    "b_causal": "۸۱۹ توکن تازه، علّی: هر کدام تا خودش",
    "b_flops": "خوانش اصلی به FLOP، هر دو ضرب",
    "d_only_group": "تنها خود سربار: هر گروه",
    "d_only_total": "تنها خود سربار: مجموع",
    "d_share_group": "۳۵٪ از کل سربار باشد: هر گروه",
    "d_share_total": "۳۵٪ از کل سربار باشد: مجموع",
    "e_quarter_group": "۲۵٪ به زمان افزوده شود: هر گروه",
    "e_quarter_total": "۲۵٪ به زمان افزوده شود: مجموع",
    "e_quarter_extra_group": "تنها همان ۲۵٪ افزوده: هر گروه",
    "e_quarter_extra_total": "تنها همان ۲۵٪ افزوده: مجموع",
    "e_done_group": "کاری که در زمان پیشین انجام می‌شود: هر گروه",
    "e_done_total": "کاری که در زمان پیشین انجام می‌شود: مجموع",
    "f_quarter_group": "۲۵٪ به زمان افزوده شود، همان زنجیر: هر گروه",
    "f_ln": "لگاریتم طبیعی",
    "f_ln_group": "لگاریتم طبیعی، همان زنجیر: هر گروه",
    "f_ln_total": "لگاریتم طبیعی، همان زنجیر: مجموع",
    "f_share": "تنها روی ۲۰٪ دنباله، لگاریتم هم از ۲۰٪",
}

START_LABELS = {
    "full": "همهٔ دنباله",
    "share": "**۲۰٪ پرسش‌ها (خوانش اصلی)**",
    "square": "۲۰٪ پرسش، ۲۰٪ کلید",
    "whole_819": "۸۱۹ توکن",
    "whole_820": "۸۲۰ توکن",
    "log": "لگاریتمی، همهٔ دنباله",
    "share_log": "لگاریتمی، ۲۰٪",
}

KIND_LABELS = {
    "mha": "چندسر، ۸ سر",
    "gqa": "پرسش‌گروهی، ۸ سر و ۲ سر کلید",
    "mqa": "چندپرسشی، ۸ سر و ۱ سر کلید",
    "groups64": "۶۴ گروه: ۶۴ سر، ۶۴ سر کلید",
    "cached": "یک توکن تازه با حافظهٔ نهان",
    "linformer64": "Linformer، رتبهٔ ۶۴",
    "linformer512": "Linformer، رتبهٔ ۵۱۲",
}

CROSSOVER_LABELS = {
    "rank": "Linformer ارزان‌تر از توجه کامل، با شمارش سؤال",
    "rank_flops": "همان، با شمارش همهٔ ضرب‌ها",
    "projections": "خود توجه گران‌تر از چهار نگاشت خطی",
    "block": "خود توجه گران‌تر از همهٔ دیگر ضرب‌های بلوک",
    "log_rank": "Linformer ارزان‌تر از روش n log n",
}

SYMBOL_LABELS = {
    "n": "طول دنباله",
    "d": "بُعد مدل",
    "r": "سهم دنباله در (ب)",
    "g": "شمار گروه‌ها در (ج)",
    "o": "سربار در (د)",
    "p": "توان پردازنده در (ه)",
}

GROWTH_LABELS = {
    "full_seconds": "توجه کامل (ms)",
    "fused_seconds": "هستهٔ ادغام‌شده (ms)",
    "linformer_seconds": "Linformer (ms)",
    "full_bytes": "توجه کامل (MB)",
    "linformer_bytes": "Linformer (MB)",
}

CURVE_LABELS = {  # in the order of the legend; a rank in braces
    "full": "توجه کامل، ۴n²d", "scores": "امتیازها، ۲hn²", "log": "روش n log n، ۴n log₂n d",
    "cache": "حافظهٔ نهان، ۴nd", "linformer": "Linformer، رتبهٔ {}", "projections": "چهار نگاشت خطی، ۸nd²",
}  # fmt: skip
