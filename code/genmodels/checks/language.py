"""Points 2.2 and 2.5: the LSTM and the Transformer, as shipped, are what the report's equations say."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genmodels.checks.check import Evidence, Finding, check, max_with_nan
from genmodels.language.comparison import through_embedding
from genmodels.language.recurrent import lstm_reference
from genmodels.language.transformer import TransformerLM
from genmodels.report.persian import fa_int, fa_sci

LSTM_ROUNDING = 1e-4  # absolute, of outputs in (-1, 1) after 40 steps in fp32: processors differ by 5e-6
READY_MADE = (
    nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase,
)  # fmt: skip
PARTS = (nn.Embedding, nn.Linear, nn.ModuleList)  # of torch.nn, all that the networks may be built of


def sample_tokens(e: Evidence, batch: int, length: int) -> Tensor:
    """The beginning of the test text, however short its documents, in rows: (batch, length)."""
    ids, _ = e.documents
    return torch.tensor(ids[: batch * length].astype(int)).view(batch, length)


@check("lstm", "2.2", "sec-2-2-lstm", "LSTM = معادله‌ها")
@torch.no_grad()
def lstm(e: Evidence) -> Finding:
    model, tokens = e.rnn, sample_tokens(e, 4, 40)
    worst, x = 0.0, model.embedding(tokens.t()) * math.sqrt(model.width)
    for layer, state in zip(model.layers, model.initial_state(len(tokens))):
        fast, _ = layer(x, state)
        x, _ = lstm_reference(x, state, layer.input_weight, layer.hidden_weight, layer.bias)
        worst = max_with_nan(worst, (fast - x).abs().max().item())
    features, _ = model.features(tokens)
    ratio = (features / x.transpose(0, 1)).median().item()  # the constant factor of the report: 4
    return worst < LSTM_ROUNDING and math.isclose(ratio, 4, rel_tol=1e-4), f"فرق {fa_sci(worst, 0)}"


@check("lstm-size", "2.2", "sec-2-2-size", "شمار پارامترها = فرمول")
def lstm_size(e: Evidence) -> Finding:
    config, size = e.shipped["rnn"].config.model, e.shipped["rnn"].config.text.vocabulary
    widths = [config.embedding] + [config.hidden] * (config.layers - 1) + [config.embedding]
    formula = size * config.embedding + size + sum(4 * h * (i + h + 1) for i, h in zip(widths, widths[1:]))
    return formula == e.shipped["rnn"].metrics["parameters"], fa_int(formula)


@check("own-layers", "2.5", "sec-2-5-architecture", "هیچ لایهٔ آماده")
def own_layers(e: Evidence) -> Finding:
    modules = [module for network in e.networks.values() for module in network.modules()]
    ready = [module for module in modules if isinstance(module, READY_MADE)]
    foreign = [m for m in modules if type(m).__module__.startswith("torch") and not isinstance(m, PARTS)]
    return not ready and not foreign, f"{fa_int(len(modules))} ماژول"


@check("equations", "2.5", "sec-2-5-architecture", "شبکه = معادله‌ها، از نو و ۶۴ بیتی")
@torch.no_grad()
def equations(e: Evidence) -> Finding:
    tokens = sample_tokens(e, 2, 40)
    fast = e.transformer(tokens)[0].double()
    written = transformer_written_out(e.transformer, tokens)
    gap = ((fast - written).abs().max() / written.abs().max()).item()
    return gap < 1e-4, f"فرق {fa_sci(gap, 0)}"


def transformer_written_out(model: TransformerLM, tokens: Tensor) -> Tensor:
    """Logits (B, T, V) by the report's equations alone, in fp64, head by head; rotation by complex numbers."""
    weights = {name: value.double() for name, value in model.state_dict().items()}
    config, (_, time) = model.config, tokens.shape
    head, shared = config.width // config.heads, config.heads // config.kv_heads
    theta = 10_000.0 ** (-2 * torch.arange(head // 2, dtype=torch.float64) / head)
    angles = torch.arange(time)[:, None] * theta  # (T, D/2)
    turn = torch.polar(torch.ones_like(angles), angles)

    def norm(x: Tensor, gain: Tensor) -> Tensor:
        return x / torch.sqrt((x * x).sum(-1, keepdim=True) / x.shape[-1] + 1e-6) * gain

    def turned(x: Tensor) -> Tensor:
        both = torch.complex(x[..., : head // 2], x[..., head // 2 :]) * turn
        return torch.cat([both.real, both.imag], -1)

    h = weights["embedding.weight"][tokens] * math.sqrt(config.width)  # (B, T, C)
    for layer in range(config.layers):
        w = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"blocks.{layer}.")}
        joint = norm(h, w["attention_norm.gain"]) @ w["attention.query_key_value.weight"].T
        parts = joint.split(head, -1)  # queries of each head, then keys, then values
        heads = []
        for place in range(config.heads):
            group = place // shared
            q, k = turned(parts[place]), turned(parts[config.heads + group])
            v = parts[config.heads + config.kv_heads + group]  # (B, T, D)
            s = q @ k.transpose(1, 2) / math.sqrt(head)
            s = s + torch.full((time, time), -torch.inf, dtype=torch.float64).triu(1)
            heads.append(torch.exp(s) / torch.exp(s).sum(-1, keepdim=True) @ v)
        h = h + torch.cat(heads, -1) @ w["attention.output.weight"].T
        gate, up = (norm(h, w["feed_forward_norm.gain"]) @ w["feed_forward.gate_up.weight"].T).chunk(2, -1)
        h = h + (gate / (1 + torch.exp(-gate)) * up) @ w["feed_forward.down.weight"].T
    return norm(h, weights["final_norm.gain"]) @ weights["embedding.weight"].T + weights["output_bias"]


@check("attention-causal", "2.5", "sec-2-5-attention", "گرادیان آینده صفر در هر جایگاه")
def attention_causal(e: Evidence) -> Finding:
    """Row i of the batch asks for the gradient of position i: all positions in one pass."""
    model, length = e.transformer, 64
    tokens = sample_tokens(e, 1, length).expand(length, length)
    features, embedded = through_embedding(model, tokens)
    places = torch.arange(length)
    (gradient,) = torch.autograd.grad(features[places, places].sum(), embedded)
    reached = gradient.abs().amax(-1) > 0  # (position, token)
    future = int(reached.triu(1).sum())
    return future == 0 and bool(reached[torch.ones_like(reached).tril() > 0].all()), f"{fa_int(length)} جایگاه"
