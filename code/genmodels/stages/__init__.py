"""The stages by name. ``get(name)`` gives a stage (``run``, ``verify``), ``load(name)`` a shipped result.

A stage's module is imported when it is first asked for: the images need no tokenizer, the text no torchvision.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from genmodels.errors import UserError

if TYPE_CHECKING:  # loads torch, which the command line's help can do without
    from genmodels.stages.base import Stage

STAGES = {
    "text": "genmodels.stages.text:TextStage",
    "pixelcnn": "genmodels.stages.pixelcnn:PixelCNNStage",
    "pixelcnn-gated": "genmodels.stages.pixelcnn:GatedStage",
    "pixelcnn-threshold": "genmodels.stages.pixelcnn:ThresholdStage",
    "pixelcnn-homework": "genmodels.stages.homework:HomeworkStage",
    "pixelcnn-study": "genmodels.stages.pixel_study:PixelStudy",
    "mnist-classifier": "genmodels.stages.classifier:ClassifierStage",
    "rnn": "genmodels.stages.language:RecurrentStage",
    "rnn-classic": "genmodels.stages.language:ClassicRecurrentStage",
    "transformer": "genmodels.stages.language:TransformerStage",
    "transformer-classic": "genmodels.stages.language:ClassicTransformerStage",
    "ngram": "genmodels.stages.ngram:NgramStage",
    "rnn-best": "genmodels.stages.language:BestRecurrentStage",
    "transformer-best": "genmodels.stages.language:BestTransformerStage",
    "rnn-study": "genmodels.stages.study:RecurrentStudy",
    "rnn-study-small": "genmodels.stages.study:SmallRecurrentStudy",
    "transformer-study": "genmodels.stages.study:TransformerStudy",
    "speed-decoding": "genmodels.stages.speed:DecodingSpeed",
    "speed-peers": "genmodels.stages.speed:PeerSpeed",
    "speed-training": "genmodels.stages.speed:TrainingSpeed",
    "speed-sampling": "genmodels.stages.speed:SamplingSpeed",
    "speed-text": "genmodels.stages.speed:TextSpeed",
    "speed-bpe": "genmodels.stages.speed:BPESpeed",
    "vocabularies": "genmodels.stages.speed:Vocabularies",
    "generation": "genmodels.stages.generation:GenerationStage",
    "pixelcnn-samples": "genmodels.stages.image_samples:ImageSamplesStage",  # after every stage it draws from
}


@cache
def get(name: str) -> Stage:
    """The stage called ``name``; ``UserError`` lists the names there are."""
    if name not in STAGES:
        raise UserError(f"there is no stage {name!r}; the stages are {', '.join(STAGES)}")
    module, kind = STAGES[name].split(":")
    return getattr(import_module(module), kind)()


def load(name: str, profile: str = "full") -> Any:
    """A shipped result, checked against its manifest and against today's config."""
    return get(name).load(profile)


__all__ = ["STAGES", "get", "load"]
