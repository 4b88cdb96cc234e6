"""A public model carried over: offline, with a tiny random GPT-2 and our tokenizer; one line for every mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from genmodels import store
from genmodels.__main__ import main
from genmodels.data import hafez
from genmodels.data.fetch_mnist import import_torchvision

LINES = (
    "بنام خدای جهان آفرین",
    "که بخشید ما را خرد در زمین",
    "دل از مهر او تازه گردد چو باغ",
    "شب تیره را نور او چون چراغ",
)
SHIPPED = store.result_folder("transformer", "full") / "tokenizer.json"


@pytest.fixture
def ghazals(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"train": (LINES,) * 12, "validation": (LINES[:2],), "test": (LINES[::-1],)}
    monkeypatch.setattr(hafez, "load", lambda folder=None: {"verse": texts, "prose": texts})


@pytest.fixture
def transformers():  # noqa: ANN201
    import_torchvision()
    return pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")


@pytest.fixture
def saved(transformers, tmp_path: Path) -> Path:  # noqa: ANN001
    """A random GPT-2 of 135,616 parameters with our tokenizer, as a folder."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=8000, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1
    )
    model = transformers.GPT2LMHeadModel(config)
    assert sum(p.numel() for p in model.parameters()) == 135_616
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(SHIPPED), bos_token="<bos>", eos_token="<eos>")
    folder = tmp_path / "gpt2"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(capsys: pytest.CaptureFixture[str], source: object, *options: str) -> tuple[int, str, str]:
    code = main(["transfer", "--from", str(source), *options])
    return code, *capsys.readouterr()


def test_a_saved_model_learns_and_writes(ghazals: None, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from genmodels.stages.transfer_public import carried_over

    found = carried_over(str(saved), "verse", 0, 6, 1e-2)
    assert found["losses"][-1] < found["losses"][0] and found["after"] < found["before"] and found["improved"]
    assert found["unknown_share"] == 0 and isinstance(found["sample"], str)
    code, out, _ = run(capsys, saved, "--steps", "2", "--rate", "1e-2")
    assert code == 0 and f"{found['before']:.3f} before" in out and "a sample" in out


def test_the_bits_are_those_of_our_own_evaluation(ghazals: None, saved: Path) -> None:
    """Over characters, by the model's own loss on one document that fits its window."""
    from genmodels.language.perplexity import evaluate
    from genmodels.language.pretrained import load

    model = load(str(saved))
    ids, offsets, characters = model.encode([LINES[0]])
    assert ids[0] == 0 and ids[-1] == 1 and characters.tolist() == [len(LINES[0])]
    whole = torch.as_tensor(ids)[None]
    with torch.no_grad():
        wanted = float(model.inner(input_ids=whole, labels=whole).loss) * (len(ids) - 1) / len(LINES[0])
    assert evaluate(model, ids, offsets, characters).bits_per_character == pytest.approx(
        wanted / torch.tensor(2.0).log().item(), rel=1e-5
    )


@pytest.mark.parametrize("kind", ["nowhere", "empty", "broken", "bidirectional", "encoder-decoder"])
def test_what_is_no_causal_model_is_one_line(
    ghazals: None,
    saved: Path,
    transformers,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    tmp_path: Path,  # noqa: ANN001
) -> None:
    source = saved
    if kind == "nowhere":
        source = tmp_path / "nothing" / "here"
    elif kind == "empty":
        (source := tmp_path / "empty").mkdir()
    elif kind == "broken":
        (saved / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    elif kind == "bidirectional":
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = transformers.BertConfig(vocab_size=8000, **sizes)
        transformers.BertForMaskedLM(config).save_pretrained(saved)
    else:
        config = transformers.T5Config(vocab_size=8000, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        transformers.T5ForConditionalGeneration(config).save_pretrained(saved)
    code, out, error = run(capsys, source)
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert code == 2 and out == "" and len(lines) == 1 and "Traceback" not in error
    assert ("no causal" if kind == "bidirectional" else str(source)[:20]) in lines[0]


def test_without_the_package_it_says_which_one(
    ghazals: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    code, out, error = run(capsys, "any")
    assert code == 2 and out == "" and error.count("\n") == 1 and "pip install 'genmodels[pretrained]'" in error


@pytest.mark.parametrize("option", ["--steps=0", "--rate=-1", "--kilobytes=-5"])
def test_settings_without_meaning_are_refused(ghazals: None, capsys: pytest.CaptureFixture[str], option: str) -> None:
    code, out, error = run(capsys, "any", option)
    assert code == 2 and out == "" and error.count("\n") == 1
