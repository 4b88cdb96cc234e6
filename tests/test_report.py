"""The real report, rendered by the fallback: complete, resolved, readable, and no result typed by hand."""

from __future__ import annotations

import ast
import builtins
import html
import importlib
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest

from genmodels.render import verdict
from genmodels.render.qmd import parse, split_front_matter
from genmodels.report.sentences import PUBLISHED

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = (PROJECT / "report.qmd").read_text("utf-8")
CHUNK = re.compile(r"^```\{python\}\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)

# Each point of the assignment: the section's identifier and a word that its heading must hold.
POINTS = {
    "sec-1-1": "MNIST",
    "sec-1-2": "ماسک",
    "sec-1-3": "آموزش",
    "sec-1-4": "صد تصویر",
    "sec-2-1": "آماده‌سازی",
    "sec-2-1-data": "Kaggle",
    "sec-2-1-cleaning": "نویز",
    "sec-2-1-stop-words": "ایست‌واژه",
    "sec-2-1-normalization": "hazm",
    "sec-2-1-lemmatization": "لم‌یابی",
    "sec-2-1-tokens": "توکن",
    "sec-2-1-bpe": "BPE",
    "sec-2-1-bpe-verdict": "مزایا",
    "sec-2-2": "n-gram",
    "sec-2-2-dataset": "مجموعه‌داده",
    "sec-2-2-loss": "زیان",
    "sec-2-3": "سرگشتگی",
    "sec-2-4": "ادامه",
    "sec-2-5": "ترنسفورمر",
    "sec-2-6": "توجه",
    "sec-2-6-a": "(آ)",
    "sec-2-6-b": "(ب)",
    "sec-2-6-c": "(ج)",
    "sec-2-6-d": "(د)",
    "sec-2-6-e": "(ه)",
    "sec-2-6-f": "(و)",
}

# Numbers that may be typed in prose: what the question states, what defines a term, what a paper printed.
# A result may not: it comes from inline code. A new number here wants its reason.
TYPED = {
    "the question's settings": "۱ ۲ ۳ ۴ ۵ ۶ ۷ ۸ ۲۰ ۲۵ ۳۵ ۶۴ ۷۵ ۵۱۲",
    "MNIST and its pixels": "۰ ۲۸ ۱۲۸ ۲۵۵ ۷۸۴ ۱۰٬۰۰۰ ۶۰٬۰۰۰",
    "names: sha256, md5, UTF-8, GPT-2, bytes, precision": "2 5 8 256 ۲۵۶ ۳۲",
    "a published speed, cited": "۱۸۳",
    "megabytes of the Kaggle file, as issue 4 states them": "۱۰۱",
    "examples and definitions": "۰٫۳ ۳۰ ۶۰ ۹۵ ۱۲۰۶ ۱۲۴۸ ۵۵٬۰۰۰ ۰٫۸ ۰٫۹۵",
}


@pytest.fixture(scope="module")
def page(rendered: dict[str, Path]) -> str:
    return rendered["html"].read_text("utf-8")


def prose() -> str:
    """The document's own words: no chunks, inline code, mathematics, identifiers, links or front matter."""
    text = re.sub(r"\A---\n.*?\n---\n", "", SOURCE, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    for pattern in (r"\$\$.*?\$\$", r"\$[^$]*\$", r"`[^`]*`", r"\{[#.][^}]*\}", r"@[\w-]+", r"\]\([^)]*\)"):
        text = re.sub(pattern, "§", text, flags=re.DOTALL)
    return re.sub(r"^\d+\. ", "", text, flags=re.MULTILINE)


def test_every_point_of_the_assignment_has_its_heading(page: str) -> None:
    headings = dict(re.findall(r'<h[1-6][^>]*\bid="([^"]+)"[^>]*>(.*?)</h[1-6]>', page, re.DOTALL))
    sections = {key: html.unescape(re.sub(r"<[^>]+>", "", value)) for key, value in headings.items()}
    for identifier, word in POINTS.items():
        assert identifier in sections, f"no heading {identifier}"
        assert word in sections[identifier], f"{identifier}: {sections[identifier]!r} lacks {word!r}"


def test_nothing_is_broken_in_the_page(page: str) -> None:
    text = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    words = html.unescape(re.sub(r"<[^>]+>", " ", text))
    for broken in (
        "Traceback",
        "Error:",
        "?@",
        "@fig-",
        "@tbl-",
        "@eq-",
        "@sec-",
        "{python}",
        "\ufffd\ufffd",
        "nan",
        "NaN",
        "نامعین",
    ):
        assert not re.search(rf"(?<!\w){re.escape(broken)}(?!\w)", words), f"the page shows {broken!r}"
    assert re.search(r'<html[^>]*\blang="fa"', page) and re.search(r'<html[^>]*\bdir="rtl"', page)
    assert not re.search(r'<(?:img|script|link|source)[^>]+(?:src|href)="(?:https?:)?//', page), (
        "the page loads from the network"
    )


def test_every_reference_points_somewhere(page: str) -> None:
    identifiers = set(re.findall(r'\bid="([^"]+)"', page))
    missing = set(re.findall(r'href="#([^"]+)"', page)) - identifiers
    assert not missing


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed (poppler-utils)")
def test_the_pdf_reads_and_embeds_its_fonts(rendered: dict[str, Path]) -> None:
    raw = subprocess.run(["pdftotext", str(rendered["pdf"]), "-"], capture_output=True, check=True).stdout.decode(
        "utf-8"
    )
    text = unicodedata.normalize("NFKC", raw)
    assert text.count("PixelCNN") > 5 and "Linformer" in text and "Traceback" not in text
    fonts = subprocess.run(["pdffonts", str(rendered["pdf"])], capture_output=True, check=True, text=True).stdout
    assert "Vazirmatn" in fonts and all(" yes " in line for line in fonts.splitlines()[2:]), "a font is not embedded"


def test_every_check_of_the_document_holds(rendered: dict[str, Path]) -> None:
    """The rubric's and those of all shipped results, as the last chunks of the execution found them."""
    assert re.fullmatch(
        r"rubric: all \d{3} checks hold(, \d+ not checked here)?", verdict.judge(rendered["pdf"].parent / verdict.NAME)
    )


def test_output_is_small_enough_to_hand_in(rendered: dict[str, Path]) -> None:
    assert rendered["pdf"].stat().st_size < 5e6 and rendered["html"].stat().st_size < 12e6


def test_no_result_is_typed_in_prose() -> None:
    allowed = set(" ".join(TYPED.values()).split())
    found = {number.rstrip(".,") for number in re.findall(r"[0-9۰-۹][0-9۰-۹٫٬.,]*", prose())}
    assert not found - allowed, "numbers typed in prose: take results from inline code, or give the reason in TYPED"


def test_persian_is_written_properly() -> None:
    text = prose().replace("«می نویسند»", "§")  # the report's own example of a lost half-space
    faults = {
        "Arabic ي or ك": r"[يكى]",
        "a space where a half-space belongs": r"(?<![\w‌])ن?می (?=[آ-ی])|(?<=[آ-ی]) ها(?:ی|یی)?(?![\wآ-ی])",
        "straight quotes": r'(?<![=\w])"(?=[آ-ی])',
        "a Latin comma or question mark": r"(?<=[آ-ی])[,;?]",
        "doubled spaces": r"(?<=[آ-ی])  +(?=[آ-ی])",
        "a space before punctuation": r"(?<=[آ-ی]) [،؛؟.](?!\w)",
    }
    for name, pattern in faults.items():
        match = re.search(pattern, text)
        assert match is None, f"{name}: …{text[max(0, match.start() - 30) : match.end() + 30]}…"


def test_chunks_are_short_and_figures_described() -> None:
    for body in CHUNK.findall(SOURCE):
        options, code = {}, []
        for line in body.splitlines():
            if line.startswith("#| "):
                key, _, value = line[3:].partition(":")
                options[key.strip()] = value.strip()
            elif line.strip():
                code.append(line)
        label = options.get("label", "")
        assert label, f"a chunk without a label: {body[:60]!r}"
        assert label == "setup" or len(code) <= 15, f"{label}: {len(code)} lines"
        if "fig-cap" in options:
            assert options.get("fig-alt"), f"{label} has no text for those who cannot see it"
        if options.get("echo") != "false" and options.get("include") != "false":
            assert max(map(len, code)) <= 84, f"{label}: a line that the page must break"
            assert not re.search(r"[آ-ی]", "\n".join(code)), f"{label} shows Persian inside code"


def test_each_numbered_thing_is_labelled_once() -> None:
    labels = re.findall(r"#\| label: (\S+)", SOURCE) + re.findall(r"\{#((?:fig|tbl|eq|sec|lst)-[\w-]+)", SOURCE)
    assert len(labels) == len(set(labels)), sorted(label for label in labels if labels.count(label) > 1)


def test_no_chunk_or_inline_expression_uses_a_name_before_its_definition() -> None:
    """What would stop the execution after a minute, found in a moment."""
    _, body, line = split_front_matter(SOURCE, "report.qmd")
    known, found = set(dir(builtins)) | {"__name__"}, []
    for part in parse(body, line, "report.qmd"):
        if part.kind == "markdown":
            continue
        names = [
            node
            for node in ast.walk(ast.parse(part.text))
            if isinstance(node, (ast.Name, ast.alias, ast.arg, ast.FunctionDef))
        ]
        # Within a chunk the order is Python's business: it is short, and is run by the other tests.
        known |= {(n.asname or n.name).partition(".")[0] for n in names if isinstance(n, ast.alias)}
        known |= {
            n.arg if isinstance(n, ast.arg) else n.name for n in names if isinstance(n, (ast.arg, ast.FunctionDef))
        }
        known |= {n.id for n in names if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        found += [f"line {part.line}: {n.id}" for n in names if isinstance(n, ast.Name) and n.id not in known]
    assert not found, found


def dotted(node: ast.AST) -> list[str]:
    """``["report", "network", "masks"]``; what hangs on a call or an item begins with an empty name."""
    if isinstance(node, ast.Attribute):
        return [*dotted(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def test_everything_that_the_document_takes_from_the_package_is_there() -> None:
    """Imports of chunks, and all that chunks and inline expressions name in a module: ``report.network.masks``."""
    modules: dict[str, ModuleType] = {}
    for _, line, tree in parts_run():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genmodels"):
                source = importlib.import_module(node.module or "")
                for alias in node.names:
                    if not hasattr(source, alias.name):
                        importlib.import_module(
                            f"{node.module}.{alias.name}"
                        )  # a module, or the error says what is missing
                    if isinstance(found := getattr(source, alias.name), ModuleType):
                        modules[alias.asname or alias.name] = found
        for node in ast.walk(tree):
            root, *names = dotted(node)
            found = modules.get(root)
            while isinstance(found, ModuleType) and names:
                assert hasattr(found, names[0]), f"line {line}: {found.__name__} has no {names[0]}"
                found = getattr(found, names.pop(0))
    assert len(modules) > 20


def test_every_citation_has_its_source() -> None:
    sources = set(re.findall(r"^@\w+\{([^,]+),", (PROJECT / "references.bib").read_text("utf-8"), re.MULTILINE))
    text = SOURCE + " ".join(found.source for found in PUBLISHED.values())
    cited = set(re.findall(r"(?<![\w])@([a-z][a-z-]*[0-9]{4}[\w-]*|hazm|kaggle-[\w-]+)", text))
    assert len(cited) > 30 and not cited - sources, cited - sources


def parts_run() -> list[tuple[str, int, ast.Module]]:
    """(kind, line, syntax tree) of every chunk and inline expression, in the order of their execution."""
    _, body, line = split_front_matter(SOURCE, "report.qmd")
    return [
        (part.kind, part.line, ast.parse(part.text))
        for part in parse(body, line, "report.qmd")
        if part.kind != "markdown"
    ]


def test_no_chunk_asserts_and_each_claim_is_made_once_before_its_notes() -> None:
    """Any student's results give a document: what hangs on them is a claim (``genmodels.report.claims``), not an assert."""
    made: list[str] = []
    noted: set[str] = set()
    for kind, line, tree in parts_run():
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Assert), f"line {line}: make it a claim, or prove it in verify or a test"
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("claims.holds", "claims.note"):
                key = ast.literal_eval(node.args[0])
                if ast.unparse(node.func) == "claims.holds":
                    assert key not in made, f"line {line}: two claims are called {key}"
                    made.append(key)
                else:
                    assert kind == "inline" and key in made, f"line {line}: {key} is noted before it is made"
                    noted.add(key)
    assert len(made) > 40 and set(made) == noted, set(made) ^ noted


def test_a_name_means_one_thing() -> None:
    """Names bound at the top of chunks are bound once; an import may be repeated as it is."""
    bound: dict[str, str] = {}
    for kind, line, tree in parts_run():
        for node in tree.body if kind == "chunk" else []:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                found = {
                    alias.asname or alias.name: f"{getattr(node, 'module', '')}.{alias.name}" for alias in node.names
                }
            else:
                names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
                inner = {id(n) for c in ast.walk(node) if isinstance(c, ast.comprehension) for n in ast.walk(c.target)}
                found = {n.id: f"line {line}" for n in names if id(n) not in inner}
            for name, what in found.items():
                assert bound.setdefault(name, what) == what, (
                    f"line {line}: {name} is bound to something else at {bound[name]}"
                )
