"""A profile has the shape of ``full``: the same kinds of everything, less of each; the text is thinned evenly."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmodels import stages
from genmodels.config import PROFILES, TrainingConfig, chosen_profile, to_plain
from genmodels.data import wikipedia
from genmodels.errors import UserError
from genmodels.stages.profiles import DOCUMENTS, at, shorter
from genmodels.system.files import write_json

LIMITS = (
    ".documents",
    ".evaluation_documents",
    ".reference",
    ".source",
    ".rates",
)  # 0 in full: all; the profile's; how many tried
NUMBERED = [name for name in stages.STAGES if name not in stages.SPEEDS and name != "vocabularies"]


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: leaf for name, part in value.items() for key, leaf in leaves(part, f"{prefix}.{name}").items()}
    return {prefix: value}


@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "full"])
@pytest.mark.parametrize("name", NUMBERED)
def test_a_shorter_profile_has_the_same_kinds_of_everything(name: str, profile: str) -> None:
    full, short = (leaves(to_plain(stages.get(name).config(each))) for each in ("full", profile))
    assert full.keys() == short.keys()
    for key, value in full.items():
        if isinstance(value, int) and not isinstance(value, bool) and not key.endswith(LIMITS):
            assert 0 < short[key] <= value if value else short[key] == 0, key  # 0: all, or none of them
        else:
            assert short[key] == value or key.endswith(LIMITS), key


def test_a_plan_stays_in_proportion() -> None:
    plan = TrainingConfig(steps=9200, batch_size=128, warmup_steps=100, evaluations=23, weight_decay_from=4600)
    brief = shorter(plan, steps=92, batch_size=256, evaluations=50)
    assert (brief.batch_size, brief.evaluations, brief.warmup_steps, brief.weight_decay_from) == (128, 23, 18, 46)
    assert at("full", plan, {}) is plan


def test_the_profile_of_a_document_is_named_or_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path))
    monkeypatch.delenv("GENMODELS_PROFILE", raising=False)
    assert chosen_profile() == "full" and stages.Shipped().profile == "full"
    monkeypatch.setenv("GENMODELS_PROFILE", "smoke")
    assert chosen_profile() == "smoke" and stages.Shipped().profile == "smoke"
    assert stages.profile_of("rnn", "smoke") == "smoke" and stages.profile_of("speed-bpe", "smoke") == "full"
    (tmp_path / "speed-bpe" / "smoke").mkdir(parents=True)
    assert stages.profile_of("speed-bpe", "smoke") == "smoke"
    assert not set(stages.SPEEDS) & set(stages.trained_in("evening")) and len(stages.trained_in("full")) == len(
        stages.STAGES
    )
    monkeypatch.setenv("GENMODELS_PROFILE", "huge")
    with pytest.raises(UserError, match="no such profile"):
        chosen_profile()


def corpus(folder: Path, sizes: dict[str, int]) -> Path:
    path = folder / "fawiki_docs.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        for split, count in sizes.items():
            for number in range(count):
                row = {"split": split, "title": f"{split} {number}", "paragraphs": ["این متن فارسی است."]}
                stream.write(json.dumps(row) + "\n")
    return path


@given(train=st.integers(1, 40), held_out=st.integers(1, 12), wanted=st.integers(0, 50))
def test_a_thinned_corpus_is_spread_evenly(tmp_path_factory: pytest.TempPathFactory, train: int, held_out: int, wanted: int) -> None:  # fmt: skip
    sizes = {"train": train, "validation": held_out, "test": held_out}
    found = wikipedia.load(corpus(tmp_path_factory.mktemp("thin"), sizes)).thinned(wanted)
    for split, size in sizes.items():
        most = size if not wanted else wanted if split == "train" else max(1, wanted // 5)
        places = [int(document.title.split()[1]) for document in found.stream(split)]
        assert len(places) == min(most, size)
        gaps = [b - a for a, b in zip(places, places[1:])]
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_smoke_takes_few_documents_and_the_others_all() -> None:
    assert DOCUMENTS["smoke"] and not DOCUMENTS["full"] and not DOCUMENTS["evening"]


def test_a_manifest_without_the_new_setting_is_todays(tmp_path: Path) -> None:
    from genmodels.config import TextConfig, differences

    old = {name: value for name, value in to_plain(TextConfig()).items() if name != "documents"}
    write_json(tmp_path / "config.json", old)
    assert differences(TextConfig(), old) == [] and differences(replace(TextConfig(), documents=5), old)
