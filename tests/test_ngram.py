"""Windows: every token predicted once, never across documents, a batch equal to its samples, a seeded loader."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genmodels.text.windows import IGNORED, PADDING, NgramDataset, loader, window_table

TOKENS = np.array([0, 5, 6, 7, 1, 0, 8, 1, 0, 2, 3, 4, 5, 6, 1], np.uint16)
OFFSETS = np.array([0, 5, 8, 15])


def corpus(lengths):
    """Distinct ids, so that a token says which document and place it comes from."""
    tokens = np.arange(1, sum(lengths) + 1, dtype=np.uint16)
    return tokens, np.concatenate([[0], np.cumsum(lengths)])


CORPORA = st.lists(st.integers(2, 12), min_size=1, max_size=5)


def test_all_targets_by_hand():
    dataset = NgramDataset(TOKENS, OFFSETS, window=3)
    context, target = dataset.__getitems__(list(range(len(dataset))))
    assert context.tolist() == [[0, 5, 6], [7, 0, 0], [0, 8, 0], [0, 2, 3], [4, 5, 6]]
    assert target.tolist() == [[5, 6, 7], [1, -100, -100], [8, 1, -100], [2, 3, 4], [5, 6, 1]]
    assert context.dtype == target.dtype == torch.int64


def test_last_target_by_hand():
    dataset = NgramDataset(TOKENS, OFFSETS, window=2, targets="last")
    context, target = dataset.__getitems__(list(range(6)))
    assert context.tolist() == [[0, 0], [0, 5], [5, 6], [6, 7], [0, 0], [0, 8]]
    assert target.tolist() == [5, 6, 7, 1, 8, 1]


@settings(max_examples=100, deadline=None)
@given(CORPORA, st.integers(1, 8))
def test_every_token_is_a_target_once_and_no_window_leaves_its_document(lengths, window):
    tokens, offsets = corpus(lengths)
    document = np.repeat(np.arange(len(lengths)), lengths)
    wanted = [t for d in range(len(lengths)) for t in tokens[offsets[d] + 1 : offsets[d + 1]]]
    for targets in ("all", "last"):
        dataset = NgramDataset(tokens, offsets, window, targets=targets)
        context, target = dataset.__getitems__(list(range(len(dataset))))
        assert context.shape == (len(dataset), window)
        assert target[target != IGNORED].tolist() == wanted
        for row, aims in zip(context.tolist(), target.reshape(len(dataset), -1).tolist()):
            places = [document[t - 1] for t in row + aims if t > 0]
            assert len(set(places)) == 1
            if targets == "all":  # each target follows its context token
                assert all(aim == token + 1 for token, aim in zip(row, aims) if aim != IGNORED)
                assert all(token == PADDING for token, aim in zip(row, aims) if aim == IGNORED)
            else:
                real = [t for t in row if t]
                assert real == list(range(aims[0] - len(real), aims[0]))
                assert len(real) == min(window, aims[0] - 1 - offsets[places[0]])


@settings(max_examples=50, deadline=None)
@given(CORPORA, st.integers(1, 6), st.integers(1, 6), st.sampled_from(["all", "last"]))
def test_a_batch_is_its_samples(lengths, window, stride, targets):
    dataset = NgramDataset(*corpus(lengths), window, stride, targets)
    indices = [*range(len(dataset))][::-1]
    context, target = dataset.__getitems__(indices)
    for row, index in enumerate(indices):
        one_context, one_target = dataset[index]
        assert torch.equal(context[row], one_context) and torch.equal(target[row], one_target)


def test_overlapping_windows():
    dataset = NgramDataset(*corpus([7]), window=4, stride=2)
    assert dataset.__getitems__([0, 1, 2])[0].tolist() == [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 0, 0]]
    assert len(dataset) == 3


def test_memory_mapped_tokens(tmp_path):
    np.save(tmp_path / "t.npy", TOKENS)
    mapped = np.load(tmp_path / "t.npy", mmap_mode="r")
    a, b = (NgramDataset(t, OFFSETS, 4).__getitems__([0, 2]) for t in (TOKENS, mapped))
    assert all(torch.equal(x, y) for x, y in zip(a, b))


def test_loader_is_seeded_and_keeps_the_last_batch():
    dataset = NgramDataset(*corpus([30, 20]), window=3)
    batches = list(loader(dataset, 4, seed=3))
    assert [len(context) for context, _ in batches] == [4, 4, 4, 4, 1]
    again, other = list(loader(dataset, 4, seed=3)), list(loader(dataset, 4, seed=4))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(batches, again))
    assert not all(torch.equal(a[1], b[1]) for a, b in zip(batches, other))
    targets = torch.cat([target.flatten() for _, target in batches])
    assert sorted(targets[targets != IGNORED].tolist()) == [*range(2, 31), *range(32, 51)]
    ordered = torch.cat([target.flatten() for _, target in loader(dataset, 4, seed=3, shuffle=False)])
    assert ordered[ordered != IGNORED].tolist() == [*range(2, 31), *range(32, 51)]


def test_loader_with_worker_processes():
    dataset = NgramDataset(*corpus([30, 20]), window=3)
    a, b = list(loader(dataset, 8, seed=3)), list(loader(dataset, 8, seed=3, num_workers=1))
    assert all(torch.equal(x[0], y[0]) for x, y in zip(a, b))


def test_window_table():
    dataset = NgramDataset(TOKENS, OFFSETS, window=2, targets="last")
    rows = window_table(dataset, lambda ids: f" t{ids[0]}", rows=2)
    assert rows == [{"context": "<bos> | <bos>", "target": "t5"}, {"context": "<bos> | t5", "target": "t6"}]
    with pytest.raises(ValueError):
        window_table(NgramDataset(TOKENS, OFFSETS, 2), str)


def test_bad_arguments():
    with pytest.raises(ValueError, match="targets"):
        NgramDataset(TOKENS, OFFSETS, 2, targets="some")
    with pytest.raises(ValueError, match="at least 1"):
        NgramDataset(TOKENS, OFFSETS, 0)
    with pytest.raises(IndexError):
        NgramDataset(TOKENS, OFFSETS, 2)[99]


def test_a_corpus_smaller_than_the_window():
    """Five tokens and a window of sixteen: one padded sample with every target, not an error."""
    tokens, offsets = np.array([0, 5, 6, 7, 1], np.uint16), np.array([0, 5])
    dataset = NgramDataset(tokens, offsets, window=16)
    context, target = dataset[0]
    assert len(dataset) == 1 and context.shape == target.shape == (16,)
    assert target[:4].tolist() == [5, 6, 7, 1] and (target[4:] == IGNORED).all()
