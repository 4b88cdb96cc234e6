"""``python -m genmodels transfer --from MODEL``: a public pre-trained model carried over to the ghazals of Hafez.

The same texts and the same split as stage ``transfer``; bits per character over characters, so that models with other
tokenizers compare. What a public model has read is not known: it may well have read Hafez. Nothing is shipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.config import TrainingConfig, TransferConfig, TransformerModelConfig
from genmodels.data.fetch_mnist import import_torchvision
from genmodels.errors import UserError
from genmodels.language.perplexity import evaluate
from genmodels.language.pretrained import PretrainedLM, load
from genmodels.stages.transfer_texts import TransferTexts
from genmodels.text.windows import IGNORED, NgramDataset
from genmodels.training import loop
from genmodels.training.batches import Batch
from genmodels.training.loop import Objective

BATCH, WINDOW, EVALUATIONS = 4, 128, 4
BATCH_TOKENS = 1024  # of an evaluation: the logits of a large vocabulary take room


def total(model: PretrainedLM, batch: Batch) -> Tensor:
    """Summed next-token cross-entropy (nats) of the positions that have a target."""
    context, target = batch  # (B, T), (B, T)
    logits = model.logits(model.features(context)[0])
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORED, reduction="sum")


def carried_over(
    source: str, target: str, kilobytes: int, steps: int, rate: float, folder: Path | None = None
) -> dict[str, Any]:
    """Fine-tune ``source`` on so much of the target; returns bits per character before and after, and one sample.

    The network that did best on the validation ghazals is judged. Raises ``UserError`` for a model that cannot be had and
    ``DataError`` without the ghazals, before anything is trained.
    """
    if steps < 1 or kilobytes < 0 or rate <= 0:
        raise UserError(f"steps {steps}, kilobytes {kilobytes}, rate {rate}: give steps >= 1, kilobytes >= 0, rate > 0")
    import_torchvision()  # transformers imports it as it is, which stops where its operators do not fit
    plan = TrainingConfig(
        batch_size=BATCH,
        steps=steps,
        learning_rate=rate,
        warmup_steps=max(1, steps // 10),
        weight_decay=0.05,
        evaluations=min(EVALUATIONS, steps),
    )
    arm = TransferConfig(TransformerModelConfig(), plan, target, kilobytes)
    material = TransferTexts.read([arm], folder)
    model = load(source)
    documents = {split: model.encode(list(material.texts[target][split])) for split in ("validation", "test")}
    ids, offsets, _ = model.encode(list(material.training_text(arm)))
    dataset = NgramDataset(ids, offsets, min(WINDOW, model.context))

    def bits(split: str) -> float:
        return evaluate(model, *documents[split], batch_tokens=BATCH_TOKENS).bits_per_character

    found: dict[str, Any] = {"unknown_share": model.unknown_share(documents["test"][0]), "before": bits("test")}
    best: tuple[float, dict[str, Tensor]] = (bits("validation"), {})

    def evaluated(_: Any) -> dict[str, float]:
        nonlocal best
        now = bits("validation")
        if now < best[0]:
            best = (now, {name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"validation_bits_per_character": now}

    objective = Objective(total=total, count=lambda batch: int((batch[1] != IGNORED).sum()))
    record = loop.train(model, dataset, objective, plan, evaluate=evaluated, label=source, alone=True)
    if best[1]:
        model.load_state_dict(best[1])
    model.cpu().eval()
    found |= {"after": bits("test"), "seconds": record.seconds, "losses": record.losses}
    return found | {"improved": bool(best[1]), "sample": _sample(model, ids[:1])}


@torch.no_grad()
def _sample(model: PretrainedLM, begin: Any, tokens: int = 60) -> str:
    """What the model writes from the begin token, by its own ``generate``."""
    torch.manual_seed(1)
    prompt = torch.as_tensor(begin)[None]
    rows = model.inner.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=True,
        temperature=0.8,
        max_new_tokens=min(tokens, model.context - 1),
        pad_token_id=int(prompt[0, 0]),
    )
    return model.tokenizer.decode(rows[0, 1:], skip_special_tokens=True)
