"""The stages by name. ``get(name)`` gives a stage (``run``, ``verify``), ``load(name)`` a shipped result.

A stage's module is imported when it is first asked for: the images need no tokenizer, the text no torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from genmodels.config import PROFILES, chosen_profile
from genmodels.errors import UserError
from genmodels.system.places import cache_folder

if TYPE_CHECKING:  # loads torch, which the command line's help can do without
    from genmodels.stages.base import Stage

STAGES = {
    "text": "genmodels.stages.text:TextStage",
    "pixelcnn": "genmodels.stages.images:PixelCNNStage",
    "pixelcnn-gated": "genmodels.stages.images:GatedStage",
    "pixelcnn-threshold": "genmodels.stages.images:ThresholdStage",
    "pixelcnn-homework": "genmodels.stages.images:HomeworkStage",
    "pixelcnn-study": "genmodels.stages.image_study:PixelStudy",
    "mnist-classifier": "genmodels.stages.classifier:ClassifierStage",
    "rnn": "genmodels.stages.language:RecurrentStage",
    "rnn-classic": "genmodels.stages.language:ClassicRecurrentStage",
    "transformer": "genmodels.stages.language:TransformerStage",
    "transformer-classic": "genmodels.stages.language:ClassicTransformerStage",
    "ngram": "genmodels.stages.ngram:NgramStage",
    "rnn-best": "genmodels.stages.language:BestRecurrentStage",
    "transformer-best": "genmodels.stages.language:BestTransformerStage",
    "rnn-study": "genmodels.stages.language_study:RecurrentStudy",
    "rnn-study-small": "genmodels.stages.language_study:SmallRecurrentStudy",
    "transformer-study": "genmodels.stages.language_study:TransformerStudy",
    "speed-decoding": "genmodels.stages.speed.base:DecodingSpeed",
    "speed-peers": "genmodels.stages.speed.base:PeerSpeed",
    "speed-training": "genmodels.stages.speed.base:TrainingSpeed",
    "speed-sampling": "genmodels.stages.speed.base:SamplingSpeed",
    "speed-text": "genmodels.stages.speed.base:TextSpeed",
    "speed-bpe": "genmodels.stages.speed.base:BPESpeed",
    "vocabularies": "genmodels.stages.speed.base:Vocabularies",
    "generation": "genmodels.stages.generation:GenerationStage",
    "transfer": "genmodels.stages.transfer:TransferStage",  # after the model that it carries over
    "pixelcnn-samples": "genmodels.stages.image_samples:ImageSamplesStage",  # after every stage it draws from
    "page": "genmodels.stages.page:PageStage",  # after every stage that the page runs
}

SPEEDS = tuple(name for name in STAGES if name.startswith("speed-"))  # of a machine, not of a training


def profile_of(name: str, profile: str) -> str:
    """The profile in which a document of ``profile`` shows a stage: times, where they were not measured anew, are the shipped."""
    lacking = name in SPEEDS and not (cache_folder() / name / profile).is_dir()
    return PROFILES[0] if lacking else profile


def trained_in(profile: str) -> list[str]:
    """The stages that ``train`` makes where none is named: all, but nothing that is timed in a shorter profile."""
    return [name for name in STAGES if profile == PROFILES[0] or name not in SPEEDS]


def known(names: Sequence[str]) -> list[str]:
    """``names``, or all stages where none is given; ``UserError`` lists the names there are if one is no stage."""
    for name in names:
        if name not in STAGES:
            raise UserError(f"there is no stage {name!r}; the stages are {', '.join(STAGES)}")
    return list(names or STAGES)


@cache
def get(name: str) -> Stage:
    """The stage called ``name``; ``UserError`` lists the names there are."""
    known([name])
    module, kind = STAGES[name].split(":")
    return getattr(import_module(module), kind)()


def load(name: str, profile: str = "full") -> Any:
    """A shipped result, checked against its manifest and against today's config."""
    return get(name).load(profile)


class Absent:
    """A result that cannot be opened: whatever is asked of it raises the reason."""

    def __init__(self, reason: UserError) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself asks
            raise AttributeError(name)
        raise self._reason


class Shipped(dict[str, Any]):
    """Results of a profile by stage, those that can be opened; a name beyond them gives ``Absent``, so that only its users
    fail. The profile: ``config.chosen_profile``'s, if none is given."""

    def __init__(self, profile: str | None = None) -> None:
        self.profile = profile or chosen_profile()
        found = {name: self._opened(name) for name in STAGES}
        super().__init__({name: result for name, result in found.items() if not isinstance(result, Absent)})

    def __missing__(self, name: str) -> Any:
        return self._opened(name)

    def _opened(self, name: str) -> Any:
        try:
            return load(name, profile_of(name, self.profile))
        except UserError as error:
            return Absent(error)


__all__ = ["SPEEDS", "STAGES", "Absent", "Shipped", "get", "known", "load", "profile_of", "trained_in"]
