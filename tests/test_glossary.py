"""The glossary: one list that is whole, in order, and kept by the report's text."""

from __future__ import annotations

from pathlib import Path

import pytest

from genmodels.report import glossary
from genmodels.errors import UserError
from genmodels.report.glossary import Term, faults

REPORT = (Path(__file__).resolve().parents[1] / "report.qmd").read_text("utf-8")
LOSS, CROSS = Term("زیان", "loss"), Term("آنتروپی متقاطع", "cross-entropy")


def test_the_report_introduces_each_term_once_where_it_is_first_used() -> None:
    assert not faults(REPORT), "\n".join(faults(REPORT))


def test_the_report_prints_the_list() -> None:
    assert "glossary.table()" in REPORT


def test_the_list_is_in_persian_order_and_whole() -> None:
    entries = glossary.terms()
    assert len(entries) > 60
    assert sorted(["یک", "پرسش", "بافت", "آنتروپی", "ادغام", "گام", "کلید", "واژگان"], key=glossary.alphabetical) == [
        "آنتروپی", "ادغام", "بافت", "پرسش", "کلید", "گام", "واژگان", "یک",
    ]  # fmt: skip
    assert glossary.alphabetical("لم") < glossary.alphabetical("لم‌یابی")  # a word before what begins with it


def test_the_table_holds_every_term_once() -> None:
    lines = glossary.table(3).data.splitlines()
    cells = [cell.strip() for line in lines[2:] for cell in line.strip("|").split("|")]
    english = [cell for cell in cells[1::2] if cell]
    assert sorted(english) == sorted(term.en for term in glossary.terms())
    assert len({line.count("|") for line in lines}) == 1
    assert english == [term.en for term in glossary.terms()]  # the alphabet runs along the rows


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("**زیان** (loss) کم شد. زیان‌ها.", None),
        ("زیان (loss، یعنی منفی لگاریتم) کم شد.", None),
        ("زیانه (loss) کم شد.", "another Persian word"),
        ("هزینه (loss) کم شد.", "another Persian word"),
        ("کم شد.", "never introduced"),
        ("زیان (loss) و باز زیان (loss).", "introduced 2 times"),
        ("زیان آموزش پیش از همهٔ این‌ها و با فاصله‌ای دراز آمده است. " * 2 + "**زیان** (loss) کم شد.", "used before"),
        ("زیان (loss) و بهره (gain) آمدند.", "not in the glossary"),
        ("```{python}\nزیان\n```\n\n## زیان {#sec-1}\n\n$x$ `زیان` زیان (loss) کم شد.", None),
        ("زیان (losses) کم شد.", "not in the glossary"),
    ],
)
def test_faults_are_found(text: str, fault: str | None) -> None:
    found = faults(text + "\n", [LOSS])
    assert (found == []) if fault is None else any(fault in line for line in found), found


def test_the_summary_may_use_terms_early_and_may_introduce_them() -> None:
    early = "# چکیده\n\nزیان شبکه کم است.\n\n# بخش\n\n" + "واژه " * 20 + "زیان (loss).\n"
    assert not faults(early, [LOSS])
    assert not faults("# چکیده\n\nزیان (loss) کم است.\n\n# بخش\n\nزیان.\n", [LOSS])


def test_everyday_words_may_come_first_and_long_terms_are_one() -> None:
    text = "زیان مالی " * 10 + "زیان (loss) و آنتروپی متقاطع (cross-entropy).\n"
    assert faults(text, [LOSS, CROSS]) and not faults(text, [Term("زیان", "loss", everyday=True), CROSS])


@pytest.mark.parametrize(
    "content",
    [
        "- {fa: زیان, en: loss}\n- {fa: هزینه, en: loss}\n", "- {fa: زیان, en: loss}\n- {fa: زیان, en: cost}\n",
        "- {fa: زیان}\n", "زیان", "- [", "",
    ],
)  # fmt: skip
def test_a_broken_list_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "glossary.yml"
    path.write_text(content, "utf-8")
    with pytest.raises(UserError, match="glossary.yml"):
        glossary.terms(path)
    with pytest.raises(UserError, match="missing.yml"):
        glossary.terms(tmp_path / "missing.yml")
