"""Does the whole way work from raw files? python .ci/smoke.py: a text in the format of the Kaggle file (cut from the data
folder's) and MNIST, the smoke training of every stage, and the document in both formats with no chunk dead.

Times are not measured here: those are the shipped ones. Exit code 1 where a part died; without ``GENMODELS_DATA`` nothing is tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "code"))
EVERY = 25  # one paragraph of so many: 0.3 million characters
MAY = (0, 6)  # all holds, or some sentences are marked as not fitting these results


def cut(source: Path, target: Path) -> None:
    """Some paragraphs of a text of the same format."""
    paragraphs = [part for part in source.read_text("utf-8").split("\n\n") if part.strip()]
    target.write_text("\n\n".join(paragraphs[::EVERY]) + "\n", "utf-8")


def main() -> int:
    """Make the data, train, render, and read the verdict."""
    from genmodels.data.wikipedia_file import KAGGLE_FILE
    from genmodels.stages import SPEEDS
    from genmodels.system.files import read_json

    given = os.environ.get("GENMODELS_DATA")
    text = Path(given or "") / "fawiki" / "persian-wikipedia-sample.txt"
    if not given or not text.is_file():
        print("not tried: GENMODELS_DATA holds no text in the Kaggle file's format")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "data" / "fawiki").mkdir(parents=True)
        (place / "data" / "mnist").symlink_to(Path(given) / "mnist")
        cut(text, place / "data" / "fawiki" / KAGGLE_FILE)
        for name in SPEEDS:
            shutil.copytree(PROJECT / "cache" / name / "full", place / "cache" / name / "full")
        environment = os.environ | {
            f"GENMODELS_{what.upper()}": str(place / what) for what in ("data", "cache", "prepared")
        }

        def genmodels(*words: str) -> int:
            return subprocess.run([sys.executable, "-m", "genmodels", *words], env=environment, cwd=PROJECT).returncode

        if code := genmodels("train", "--profile", "smoke"):
            return code
        code = genmodels("render", "--profile", "smoke", "--output", str(place / "out"))
        if code not in MAY:
            return code
        dead = read_json(place / "out" / "rubric.json")["dead"]
        print("\n".join(dead) or "no chunk died")
        return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
