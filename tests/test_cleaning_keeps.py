"""Text that users really feed it: what cleaning must keep, what must go, kind by kind (public bug reports and neighbours)."""

import pytest

from genmodels.text import characters, markup
from genmodels.text.cleaning import MAXIMUM_PASSES, clean_paragraph
from genmodels.text.normalization import lemma, normalize, words
from genmodels.text.rules import RULES

BEFORE, AFTER = "این یک جملهٔ سادهٔ فارسی است که ", " در آن آمده بود."


def cleaned(text: str) -> str:
    result = clean_paragraph(BEFORE + text + AFTER)
    assert result.startswith(BEFORE.strip()) and result.endswith(AFTER.strip()), result
    return result[len(BEFORE.strip()) : -len(AFTER.strip())].strip()


FORMS = {  # presentation forms and ligatures are letters
    "ﺍﻟﺴﻼﻡ": "السلام", "ﮐﻼﺱ ﻭ ﺳﻼﻡ": "کلاس و سلام", "ﷲ": "الله", "عبدﷲ": "عبدالله", "محمدﷺ": "محمد صلی الله علیه وسلم",
    "۵۰۰﷼": "۵۰۰ ریال", "ﭘﮋﻭﻫﺶ": "پژوهش", "ﻛﺘﺎﺏ ﻋﻠﻲ": "کتاب علی", "ﬁle": "file", "ＡＢＣ": "ABC", "ﻷﻥ": "لأن",
}  # fmt: skip
NUMBERS = {  # fractions, powers, indices, units, comparisons: never another value
    "۱۰² متر": "۱۰² متر", "5 km²": "۵ km²", "½ لیتر": "½ لیتر", "CO₂": "CO₂", "E = mc²": "E = mc²", "xⁿ + ۱": "xⁿ + ۱",
    "5 µm": "۵ μm", "5 kΩ": "۵ kΩ", "۱۰⁻³": "۱۰⁻³", "۳⅓": "۳⅓", "10^6": "۱۰^۶", "x_1": "x_1", "2*3 = 6": "۲*۳ = ۶", "~5": "~۵", "℃": "°C",
    "㎡": "m²", "𝑥 + 1": "x + ۱", "Ⅳ": "IV", "|x - y| = 3": "|x - y| = ۳", "P(A|B)": "P(A|B)", "A = {1, 2}": "A = {۱، ۲}", "f(x)": "f(x)",
    "10<sup>2</sup>": "۱۰²", "H<sub>2</sub>O": "H₂O", "2<sup>k</sup>": "2^k", "x^{n+1}": "x^(n+۱)", "4<sup>th</sup>": "4th", "[0, 1)": "[۰، ۱)",
    "آب (H₂O)": "آب (H₂O)", "(120 km/h)": "(۱۲۰ km/h)", "(x < y)": "(x < y)", "۱۹۳۹ـ۱۹۴۵": "۱۹۳۹-۱۹۴۵", "۵ ± ۲": "۵ ± ۲", "2 - -3": "۲ - -۳",
    "میانگین x̄": "میانگین x̄", "x + y + z + w": "x + y + z + w", "¬p": "¬p", "f''(x)": "f''(x)",
}  # fmt: skip
TAGS = {
    'تهران<ref name="a" /> پایتخت است.<ref>منبع یک</ref> پایان': "تهران پایتخت است. پایان", "متن<REF>منبع</REF> نو": "متن نو",
    "متن<ref name=a> پایتخت<ref>منبع</ref> نو": "متن پایتخت نو", "متن<Ref group='n'>{{یادکرد|x}}</rEf> نو": "متن نو", "یک<BR/>دو<br >سه": "یک دو سه",
    "<b>ک</b>تاب": "کتاب", '<span style="x">متن</span>': "متن", "<!-- توضیح --> متن": "متن", "<math>x^2</math> متن": "متن",
    "اگر x<y آنگاه z>y نیست": "اگر x<y آنگاه z>y نیست", "اگر a<b و c>d": "اگر a<b و c>d", "x < y و y > z": "x < y و y > z",
    "(<۰٫۱ از ژنوم)": "(<۰٫۱ از ژنوم)", "a <= b": "a <= b", "A -> B": "A -> B", "<cDNAs کامل از ۵' که>": "cDNAs کامل از ۵' که", "5 &lt; 6": "۵ < ۶",
    "<<من رفتم>>": "«من رفتم»", "&amp;amp;lt;ref&amp;gt; متن": "متن",
}  # fmt: skip
NESTED = {
    "{{الگو|نام={{بومی|متن}}|جمعیت=متن بیرونی}} نو": "نو", "[[پرونده:x.jpg|بندانگشتی|نمایی از [[تهران]] در شب]] نو": "نو",
    r"{\displaystyle \sum _{i=1}^{n}{\frac {a_{i}}{b_{i}}}} نو": "نو", '{| class="wikitable" |- | ۱ || ۲ |} نو': "نو", 'colspan="2"|- نو': "نو",
    "{{الف|{{ب|{{پ|{{ت}}}}}}}} نو": "نو", "[[شهر|[[تهران|پایتخت]]]] نو": "پایتخت نو", "[[File:a.png|thumb|{{x|[[y]]}}]] نو": "نو", r"\frac{1}{2} نو": "نو",
    "{{باز نو": "باز نو", "نو}} کهن": "نو کهن", "[[تهران]] و [[رشت|شهر رشت]]": "تهران و شهر رشت", "{{{۱|{{x}}}}} نو": "نو", "[[:en:X|نو]]": "نو",
    "{| {| ۱ |} |} نو": "نو", "{{x|{| ۱ |}}} نو": "نو", "left|300px|نو": "نو",
}  # fmt: skip
TEXT = {
    "C++": "C++", "C#": "C#", "H2O": "H2O", "COVID19": "COVID19", "COVID-19": "COVID-19", "4G": "4G", "-5 درجه": "-۵ درجه", "123 -2": "۱۲۳ -۲", "پښتو": "پښتو",
    "[۱۳۵۷ خورشیدی]": "[۱۳۵۷ خورشیدی]", "[۵ نفر]": "[۵ نفر]", "[احمدشاه] رفت": "[احمدشاه] رفت", "متن[۳][۱۲] نو": "متن نو", "متن[یادداشت ۲] نو": "متن نو",
    "i++": "i++", "g++": "g++", "F#": "F#", "A*": "A*", "ێ ڕ ڵ ٹ": "ێ ڕ ڵ ٹ", "گفت «او گفت: «برو»» نو": "گفت «او گفت: «برو»» نو", '"الف" "ب"': '"الف" "ب"',
    "(؟)": "(؟)", "منفی (-)": "منفی (-)", "ویرگول (،)": "ویرگول (،)", "(به تهران)": "(به تهران)", "main()": "main()", ".NET": ".NET", "#۷۲": "#۷۲", "bitcoin.org": "bitcoin.org",
    "منطقةالبروج": "منطقةالبروج", "دائرةالمعارف": "دائرةالمعارف", "رحمة الله": "رحمه الله", "Qurʾan": "Qurʾan", "A، C، G، T": "A، C، G، T", "بازه\u0674 نو": "بازهٔ نو",
}  # fmt: skip


@pytest.mark.parametrize(
    "before, after", [pair for rows in (FORMS, NUMBERS, TAGS, NESTED, TEXT) for pair in rows.items()]
)
def test_cleaning_gives(before, after):
    assert cleaned(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "منابع آب این استان بسیار محدود است.",
        "-۵ درجه دمای هوا در زمستان آن شهر بود.",
        "۳-متیل هگزان یک مادهٔ شیمیایی است.",
    ],
)
def test_a_true_sentence_stays(text):
    assert clean_paragraph(text) == text


@pytest.mark.parametrize("text", ["پیوند به بیرون.", "جستارهای وابسته:", "همچنین ببینید"])
def test_apparatus_goes(text):
    assert clean_paragraph(text) == ""


@pytest.mark.parametrize(
    "opening, closing",
    [
        "()",
        "[]",
        "«»",
        ("{", "}"),
        ("(«[", "]»)"),
        ("([", ")]"),
        ("(Name ", ")"),
        ("<b>", "</b>"),
        ("• ", ""),
        ('" "', ""),
    ],
)
@pytest.mark.parametrize("depth", [1, 60, 5000])
def test_depth_needs_no_more_passes(opening, closing, depth):
    once = clean_paragraph(BEFORE + opening * depth + closing * depth + AFTER)
    assert clean_paragraph(once) == once and once.startswith(BEFORE.strip())


def test_what_never_settles_is_no_prose(monkeypatch):
    swap = RULES[0].__class__("swap", "", "", lambda text: text.translate({ord("آ"): "ب", ord("ب"): "آ"}))
    monkeypatch.setattr("genmodels.text.cleaning.RULES", (swap,))
    assert MAXIMUM_PASSES % 2 == 0 and clean_paragraph("آ") == ""


def test_a_huge_character_reference_is_text():
    assert markup.entities("&#" + "1" * 5000 + ";") == "&#" + "1" * 5000 + ";"


def test_compatibility_leaves_powers_and_accents():
    for sign in "²³¹½₂ⁿéأؤ…①":
        assert characters.compatibility(sign) == sign


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("-5 درجه", "-۵ درجه"), ("123 -2", "۱۲۳ -۲"), ("۵ - ۳", "۵ - ۳"), ("(-۵) و «-۵»", "(-۵) و «-۵»"), ("H2O و COVID19", "H2O و COVID19"), ("MP3، 4G", "MP3، 4G"),
        ("10^6 و x^2", "۱۰^۶ و x^2"), ("2.5 و -2.5", "۲٫۵ و -۲٫۵"), ("سال۱۲-۱۴میلادی", "سال ۱۲-۱۴ میلادی"), ("پښتو", "پښتو"), ("۳.۱۱.۷", "۳.۱۱.۷"), ("$5", "$۵"),
        ("۱۰² و ½", "۱۰² و ½"), ("کووید-۱۹", "کووید-۱۹"),
    ],
)  # fmt: skip
def test_normalizing_keeps(text, wanted):
    assert normalize(text) == wanted == normalize(wanted)


def test_names_are_one_word_and_nothing_is_no_lemma():
    assert words("H2O و COVID-19") == ["H2O", "و", "COVID-19"] and lemma("") == ""


def test_a_very_long_paragraph_is_normalized_in_pieces():
    sentence = "كتاب ها را مي خوانم و میرود سلاممم ."
    long = " ".join([sentence] * 1000 + ["ه" * 60_000] + [sentence] * 3)
    result = normalize(long)
    assert result.count(normalize(sentence)) > 990 and "ه" * 60_000 in result
