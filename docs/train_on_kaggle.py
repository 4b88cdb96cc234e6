"""Writes docs/train-on-kaggle.ipynb: python docs/train_on_kaggle.py. The cells are here, and only here (a test compares)."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

CELLS = [
    """
    # Train on Kaggle (or Colab), hand in at home

    1. Attach to this notebook, as inputs: this project (its folder or its zip as a data set of yours), and
       `miladfa7/persian-wikipedia-dataset`. Switch a GPU on, and the internet (for the missing packages and MNIST).
    2. *Run all*. In the profile `full` that is some hours; `evening` is a short training of everything.
    3. Download `results.zip` from the output folder. At home: `python -m genmodels results import results.zip`, then `make`.
    """,
    """
    import importlib.util
    import os
    import shutil
    import subprocess
    import sys
    import zipfile
    from pathlib import Path

    PROFILE = os.environ.get("PROFILE", "full")  # or "evening"
    STAGES = os.environ.get("STAGES", "").split()  # none: all; or "text ngram rnn".split()
    INPUT = Path(os.environ.get("KAGGLE_CACHE_MOUNT_FOLDER", "/kaggle/input"))
    WORK = Path(os.environ.get("WORK", "/kaggle/working"))
    """,
    """
    The project and what it needs that is not there yet. The torch that is installed stays as it is.
    """,
    """
    def is_project(text):
        return 'name = "genmodels"' in text

    folders = [p.parent for p in INPUT.rglob("pyproject.toml") if is_project(p.read_text("utf-8"))]
    for path in sorted(INPUT.rglob("*.zip")) if not folders else ():
        with zipfile.ZipFile(path) as archive:
            inside = [n for n in archive.namelist() if n.endswith("pyproject.toml") and is_project(archive.read(n).decode())]
            if inside:
                archive.extractall(WORK / "attached")
                folders.append((WORK / "attached" / inside[0]).parent)
    if not folders:
        raise SystemExit(f"the project is not attached: no pyproject.toml of it below {INPUT}")
    project = WORK / "project"
    if not project.exists():
        shutil.copytree(sorted(folders)[0], project, ignore=shutil.ignore_patterns(".venv", ".git", "_output"))
    if importlib.util.find_spec("genmodels") is None:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", str(project)], check=True)
    """,
    """
    Where things go: results of this notebook in a folder of their own, so that the zip holds nothing else.
    """,
    """
    environment = os.environ | {
        "GENMODELS_CACHE": str(WORK / "cache"),
        "GENMODELS_DATA": str(WORK / "data"),
        "GENMODELS_PREPARED": str(WORK / "prepared"),
        "PYTHONPATH": str(project / "code"),
    }

    def genmodels(*words):
        print("$ genmodels", *words, flush=True)
        done = subprocess.run([sys.executable, "-m", "genmodels", *map(str, words)], env=environment)
        if done.returncode:
            raise SystemExit(f"genmodels {words[0]} ended with {done.returncode}; what it said stands above")

    attached = sorted(p.parent for p in INPUT.rglob("train-images-idx3-ubyte*"))
    if not STAGES or any("pixel" in name or "mnist" in name for name in STAGES):
        genmodels("data", "mnist", *(["--from", attached[0]] if attached else []))
    """,
    """
    The training. The Persian text is found where Kaggle attached it. Interrupted, the same cell goes on from its checkpoint.
    """,
    """
    genmodels("train", *STAGES, "--profile", PROFILE)
    """,
    """
    Do the results hold? Then into one zip.
    """,
    """
    trained = sorted(path.parent for path in (WORK / "cache").glob(f"*/{PROFILE}/manifest.json"))
    genmodels("verify", *(folder.parent.name for folder in trained), "--profile", PROFILE)
    with zipfile.ZipFile(WORK / "results.zip", "w") as archive:
        for folder in trained:
            for path in sorted(folder.iterdir()):
                archive.write(path, path.relative_to(WORK))
    print(WORK / "results.zip", f"{(WORK / 'results.zip').stat().st_size / 1e6:.1f} MB")
    """,
]


def notebook() -> str:
    """The notebook as JSON: prose and code take turns."""
    cells = []
    for number, cell in enumerate(CELLS):
        source = dedent(cell).strip().splitlines(keepends=True)
        prose = number % 2 == 0
        cells.append({"cell_type": "markdown" if prose else "code", "id": f"cell-{number}", "metadata": {}, "source": source})
        if not prose:
            cells[-1] |= {"execution_count": None, "outputs": []}
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("train-on-kaggle.ipynb").write_text(notebook(), "utf-8")
