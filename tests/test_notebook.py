"""docs/train-on-kaggle.ipynb: it is what its source makes, and it runs, from an attached zip to the zip that comes home."""

from __future__ import annotations

import json
import runpy
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from common import PATIENCE
from genmodels import store
from genmodels.stages.importing import import_results

ROOT = Path(__file__).resolve().parents[1]
SOURCE = runpy.run_path(str(ROOT / "docs" / "train_on_kaggle.py"))


def test_the_notebook_is_what_its_source_makes() -> None:
    written = (ROOT / "docs" / "train-on-kaggle.ipynb").read_text("utf-8")
    assert written == SOURCE["notebook"](), "python docs/train_on_kaggle.py writes it anew"
    nbformat.validate(nbformat.reads(written, as_version=4))
    code = ["".join(cell["source"]) for cell in json.loads(written)["cells"] if cell["cell_type"] == "code"]
    for cell in code:
        compile(cell, "cell", "exec")


def attached(folder: Path) -> None:
    """What Kaggle shows under its input folder: the project as a zip, and a text in the format of the Kaggle file."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "project.zip", "w") as archive:
        archive.write(ROOT / "pyproject.toml", "genmodels/pyproject.toml")
        for path in sorted((ROOT / "code").rglob("*.py")):
            archive.write(path, f"genmodels/{path.relative_to(ROOT)}")
    words = "این یک متن کوتاه فارسی برای آزمودن راه است و هر بند آن واژه ای دیگر دارد".split()
    paragraphs = [" ".join([*words[n % 9 :], f"و بند {n} از صد و بیست بند است.", *words[: n % 7]]) for n in range(120)]
    (folder / "text").mkdir()
    (folder / "text" / "Persian-WikiText-1.txt").write_text("\n\n".join(paragraphs) + "\n", "utf-8")


def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """Run the notebook in a kernel of its own; what it printed."""
    book = nbformat.reads(SOURCE["notebook"](), as_version=4)
    (tmp_path / "work").mkdir(exist_ok=True)
    monkeypatch.delenv("GENMODELS_CACHE", raising=False)
    for name, value in {
        "KAGGLE_CACHE_MOUNT_FOLDER": str(tmp_path / "input"),
        "WORK": str(tmp_path / "work"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }.items() | variables.items():
        monkeypatch.setenv(name, value)
    NotebookClient(
        book, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    return "".join(out.get("text", "") for cell in book.cells for out in cell.get("outputs", []))


def test_it_trains_verifies_and_zips_what_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real commands, on the quickest stage; the installation is passed over, since the package is there."""
    attached(tmp_path / "input")
    told = executed(tmp_path, monkeypatch, PROFILE="smoke", STAGES="ngram")
    assert "$ genmodels train ngram --profile smoke" in told and "$ genmodels verify ngram --profile smoke" in told
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "home"))
    assert import_results(tmp_path / "work" / "results.zip") == [store.result_folder("ngram", "smoke")]
    assert store.load("ngram", "smoke").manifest["data"]["name"] == "Persian-WikiText-1.txt"


def test_without_the_project_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient.exceptions import CellExecutionError

    attached(tmp_path / "input")
    (tmp_path / "input" / "project.zip").unlink()
    shutil.rmtree(tmp_path / "input" / "text")
    with pytest.raises(CellExecutionError, match="the project is not attached"):
        executed(tmp_path, monkeypatch)
