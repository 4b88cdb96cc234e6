"""The beginnings that the networks continue, and the ways of choosing a token that they are continued in."""

from __future__ import annotations

from typing import Any

PROMPTS = {
    "تاریخ": "در سدهٔ نوزدهم میلادی، پادشاه",
    "جغرافیا": "این روستای کوهستانی در شمال استان",
    "دانش": "دانشمندان برای اندازه‌گیری دمای",
    "ورزش": "در فینال جام جهانی، تیم",
    "هنر": "نخستین فیلم بلند این کارگردان جوان دربارهٔ",
    "زیست‌شناسی": "این گونهٔ کمیاب از پرندگان آبزی در",
    "اقتصاد": "با افزایش قیمت نفت، دولت",
    "رایانه": "این نرم‌افزار تازه برای کاربران تلفن همراه",
}
"""Beginnings of eight subjects, written for this report; the stage refuses one that stands in the training text."""

SETTINGS: dict[str, dict[str, Any]] = {
    "temperature-0.5": {"temperature": 0.5, "top_p": 0.95},
    "temperature-0.8": {"temperature": 0.8, "top_p": 0.95},
    "temperature-1.1": {"temperature": 1.1, "top_p": 0.95},
    "greedy": {"greedy": True},
    "greedy-penalty": {"greedy": True, "repetition_penalty": 1.3},
    "plain": {},
    "top-k": {"top_k": 40},
    "top-p": {"top_p": 0.9},
    "min-p": {"min_p": 0.05},
}
"""Name -> options of ``generate``."""
