"""Asking a trained network on the command line: a text continued, images drawn; from shipped results or one's own.

Nothing is trained, measured or kept here, and no data is needed: a result brings its tokenizer along.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from genmodels import stages, store
from genmodels.errors import UserError
from genmodels.language.generation import generate
from genmodels.stages.base import Stage
from genmodels.stages.image_samples import first_images
from genmodels.system.files import require_whole_characters
from genmodels.text import normalization
from genmodels.text.tokenizer import Tokenizer
from genmodels.training.batches import generator_for

MOST_TOKENS, MOST_IMAGES, LARGEST_SEED = 10_000, 10_000, 2**63 - 1  # a minute; some minutes; what torch takes


def continued(words: str, model: str, profile: str, tokens: int, seed: int, **sampling: Any) -> str:
    """``words``, prepared as the network's corpus was, and up to ``tokens`` more, drawn by ``Sampling(**sampling)``.

    Raises ``UserError`` for words of which the preparation leaves nothing, a model that writes no text or has no
    result, and whatever is out of range.
    """
    from genmodels.stages.language import LanguageStage

    stage = _stage(model, LanguageStage, "writes text")
    _within("tokens", tokens, 1, MOST_TOKENS)
    _within("seed", seed, 0, LARGEST_SEED)
    require_whole_characters(words, "the text")
    corpus = stage.config(profile).text.corpus
    prepare = normalization.classic if corpus == "classic" else normalization.normalize
    beginning = prepare(" ".join(words.split()))
    if not beginning:
        left = f"nothing is left of {words[:40]!r} in the corpus {corpus}" if words.strip() else "the text is empty"
        raise UserError(f"{left}; give the words to go on from, such as 'این روستا در شمال استان'")
    network = stage.load(profile).model()
    tokenizer = Tokenizer.load(store.result_folder(model, profile) / "tokenizer.json")
    prompt = [tokenizer.bos, *tokenizer.encode(beginning)]
    drawn = generate(network, prompt, tokens, generator_for(seed, "asked"), stop=tokenizer.eos, **sampling)
    return tokenizer.decode(prompt + drawn[0]).rstrip("\ufffd")  # the last token may be half a letter


def drawn(model: str, profile: str, count: int, seed: int, temperature: float) -> Tensor:
    """The first ``count`` images of the seed, (N, 1, 28, 28) zeros and ones: those of ``pixelcnn-samples``.

    Raises ``UserError`` for a model that draws no images or has no result, and whatever is out of range.
    """
    from genmodels.stages.images import PixelCNNStage

    stage = _stage(model, PixelCNNStage, "draws images")
    _within("count", count, 1, MOST_IMAGES)
    _within("seed", seed, 0, LARGEST_SEED)
    return first_images(stage.load(profile).model(), count, seed, temperature)


def _stage(name: str, kind: Any, what: str) -> Stage:
    """The stage ``name``; ``UserError`` lists those of this kind if it is none."""
    stage = stages.get(name) if name in stages.STAGES else None
    if not isinstance(stage, kind):
        able = [known for known in stages.STAGES if isinstance(stages.get(known), kind)]
        raise UserError(f"there is no model {name!r} that {what}; give one of {', '.join(able)}")
    return stage


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UserError(f"{what} is {str(value)[:40]}; give a whole number from {least} to {most}")
