"""The language models' tokenizer: byte-level BPE, trained by Hugging Face ``tokenizers``, explained by ``bpe.py``.

Text is first cut into pieces by ``bpe.PATTERN``, which keeps a half-space (ZWNJ) inside its word, unlike GPT-2's
pattern; each piece is a string of UTF-8 bytes, and pairs of symbols are merged in the order learnt (Sennrich et al.,
2016; bytes: Radford et al., 2019). Every text can be encoded: nothing is unknown. Ids: ``<bos>`` 0, ``<eos>`` 1, the
256 bytes, then the merges. ``encode`` adds no special ids; ``prepare.py`` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genmodels.errors import DataError
from genmodels.system.files import write_bytes
from genmodels.text.bpe import BPE, PATTERN

SPECIALS = ("<bos>", "<eos>")


class Tokenizer:
    """Text to ids and back. ``bos`` and ``eos`` are the two special ids; ``vocabulary_size`` counts them too."""

    def __init__(self, inner: Any) -> None:
        inner.encode_special_tokens = True  # the characters "<bos>" in a text are text
        self._inner = inner
        self.vocabulary_size: int = inner.get_vocab_size(with_added_tokens=True)
        self.bos, self.eos = (inner.token_to_id(special) for special in SPECIALS)

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary_size: int = 8000, stock_pattern: bool = False) -> Tokenizer:
        """Learn the merges from ``texts`` (the same texts, the same merges). ``stock_pattern``: GPT-2's, to compare."""
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers, trainers

        inner = tokenizers.Tokenizer(models.BPE())
        split = pre_tokenizers.Split(tokenizers.Regex(PATTERN), behavior="isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=stock_pattern)
        inner.pre_tokenizer = as_bytes if stock_pattern else pre_tokenizers.Sequence([split, as_bytes])
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=list(SPECIALS),
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        inner.train_from_iterator(texts, trainer)
        return cls(inner)

    def encode(self, text: str) -> list[int]:
        return self._inner.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._inner.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; special ids vanish, bytes that are no whole character become U+FFFD."""
        plain = [int(i) for i in ids if int(i) not in (self.bos, self.eos)]
        return self._inner.decode(plain, skip_special_tokens=False)

    def pieces(self, text: str) -> list[str]:
        """The text of each token, for showing how a word is cut (a token may hold half a character: U+FFFD)."""
        return [self.decode([i]) for i in self.encode(text)]

    def as_bpe(self) -> BPE:
        """The same merges in our own implementation, which can show its steps (``BPE.trace``)."""
        model = json.loads(self._inner.to_str())["model"]
        ids = model["vocab"]
        return BPE([(ids[left], ids[right]) for left, right in model["merges"]], first_id=len(SPECIALS))

    def to_bytes(self) -> bytes:
        """The whole tokenizer as JSON, the content of ``save``'s file."""
        return self._inner.to_str().encode()

    def save(self, path: Path | str) -> None:
        write_bytes(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path | str) -> Tokenizer:
        """Read ``save``'s JSON; ``DataError`` where it is absent, damaged, or not a tokenizer of this module."""
        import tokenizers

        try:
            inner = tokenizers.Tokenizer.from_str(Path(path).read_text("utf-8"))
            known = [inner.token_to_id(special) for special in SPECIALS] == [0, 1]
        except Exception as error:  # tokenizers raises bare Exception
            reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            raise DataError(f"cannot read the tokenizer {path} ({reason}); prepare the text again") from error
        if not known:
            raise DataError(f"{path} is not our tokenizer: {SPECIALS} are not its ids 0 and 1; prepare the text again")
        return cls(inner)
