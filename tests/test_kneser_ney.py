"""Modified Kneser-Ney: against an independent dictionary implementation and NLTK; probabilities sum to one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genmodels.errors import DataError, UserError
from genmodels.language.kneser_ney import FALLBACK, KneserNey, per_document
from genmodels.language.perplexity import evaluate

Documents = list[list[int]]


def packed(documents: Documents) -> tuple[np.ndarray, np.ndarray]:
    return np.array([i for d in documents for i in d], np.uint16), np.array([0, *accumulate(map(len, documents))])


def text_like(seed: int, documents: int, length: int, vocabulary: int) -> Documents:
    """Documents of a skewed Markov chain: every order has repeated and new n-grams. ``<bos>`` 0, ``<eos>`` 1."""
    rng = np.random.RandomState(seed)
    rows = []
    for _ in range(documents):
        row = [0]
        for _ in range(rng.randint(0, length)):
            row.append(2 + (row[-1] * 7 + rng.geometric(0.35)) % (vocabulary - 2))
        rows.append([*row, 1])
    return rows


class ByDictionary:
    """The same definition, written down anew: tuples, dictionaries, recursion."""

    def __init__(self, documents: Documents, order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        raw = [
            Counter(tuple(d[i : i + k]) for d in documents for i in range(len(d) - k + 1)) for k in range(1, order + 1)
        ]
        before: dict[tuple, set] = defaultdict(set)
        for grams in raw[1:]:
            for gram in grams:
                before[gram[1:]].add(gram[0])
        self.counts: dict[tuple, dict[int, int]] = defaultdict(dict)
        self.discount = {}
        for k, grams in enumerate(raw, 1):
            of = Counter()
            for gram, count in grams.items():
                if gram == (0,):
                    continue
                if k < order and gram[0] != 0:
                    count = len(before[gram])
                self.counts[gram[:-1]][gram[-1]] = count
                of[count] += 1
            self.discount[k] = FALLBACK
            if of[1] and of[2] and of[3]:
                y = of[1] / (of[1] + 2 * of[2])
                found = tuple(i - (i + 1) * y * of[i + 1] / of[i] for i in (1, 2, 3))
                if all(0 < d <= i for i, d in enumerate(found, 1)):
                    self.discount[k] = found

    def probability(self, word: int, context: tuple) -> float:
        context = context[max(0, len(context) - self.order + 1) :]
        lower = self.probability(word, context[1:]) if context else 1 / (self.vocabulary - 1)
        followers = self.counts.get(context)
        if not followers:
            return lower
        d, total = self.discount[len(context) + 1], sum(followers.values())
        cut = lambda count: d[min(count, 3) - 1] if count else 0.0  # noqa: E731
        here = followers.get(word, 0)
        return (here - cut(here)) / total + sum(map(cut, followers.values())) / total * lower

    def log_probabilities(self, documents: Documents) -> np.ndarray:
        return np.array([math.log(self.probability(d[i], tuple(d[:i]))) for d in documents for i in range(1, len(d))])


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_same_as_dictionaries(order: int) -> None:
    train, test = text_like(1, 40, 60, 20), text_like(2, 10, 40, 20)
    model, slow = KneserNey.fit(*packed(train), order, 20), ByDictionary(train, order, 20)
    assert [tuple(row) for row in model.discounts] == [pytest.approx(slow.discount[k]) for k in range(1, order + 1)]
    assert order == 1 or tuple(model.discounts[-1]) != FALLBACK  # the estimates are what is tested
    np.testing.assert_allclose(model.log_probabilities(*packed(test)), slow.log_probabilities(test), rtol=1e-9)


rows = st.lists(st.integers(1, 6), max_size=12).map(lambda row: [0, *row])
streams = st.lists(rows, min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(train=streams.filter(lambda rows: any(len(row) > 1 for row in rows)), test=streams, order=st.integers(1, 5))
def test_any_stream(train: Documents, test: Documents, order: int) -> None:
    model, slow = KneserNey.fit(*packed(train), order, 7), ByDictionary(train, order, 7)
    if any(len(row) > 1 for row in test):
        found = model.log_probabilities(*packed(test))
        np.testing.assert_allclose(found, slow.log_probabilities(test), rtol=1e-9, atol=1e-12)
        part = model.restricted(*packed(test))
        np.testing.assert_array_equal(part.log_probabilities(*packed(test)), found)
        np.testing.assert_array_equal(KneserNey.from_arrays(part.to_arrays()).log_probabilities(*packed(test)), found)
        known = {tuple(d[i : i + k]) for d in train for k in range(1, order + 1) for i in range(len(d) - k + 1)}
        longest = [
            max((k for k in range(1, min(order, i + 1) + 1) if tuple(d[i - k + 1 : i + 1]) in known), default=0)
            for d in test
            for i in range(1, len(d))
        ]
        assert model.matches(*packed(test)).tolist() == longest
    for row in test:
        everything = model.distribution(row)
        assert everything.sum() == pytest.approx(1, abs=1e-12) and everything[0] == 0 and (everything[1:] > 0).all()


def test_sums_to_one_and_agrees_with_the_scores() -> None:
    model = KneserNey.fit(*packed(text_like(3, 60, 60, 40)), 4, 50)
    rng = np.random.RandomState(0)
    random, seen = rng.randint(2, 50, (25, 5)).tolist(), text_like(3, 60, 60, 40)[:10]
    for context in ([0], [0, 5], [0, 49, 49], [], *random, *seen):
        everything = model.distribution(context)
        assert everything.sum() == pytest.approx(1, abs=1e-12)
        if context[:1] == [0] and context[-1] != 1:
            row = packed([[*context, word] for word in range(1, 50)])
            scored = np.exp(model.log_probabilities(*row))[len(context) - 1 :: len(context)]
            np.testing.assert_allclose(everything[1:], scored, rtol=1e-12)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_same_as_nltk(order: int) -> None:
    """NLTK has one fixed discount, none at order 1, and fails on contexts that hold less than n - 1 tokens."""
    KneserNeyInterpolated = pytest.importorskip("nltk.lm").KneserNeyInterpolated  # comes with hazm
    from nltk.util import everygrams

    train, test = text_like(4, 12, 40, 15), text_like(5, 6, 20, 15)
    theirs = KneserNeyInterpolated(order, discount=0.6)
    theirs.fit([list(everygrams(map(str, row), max_len=order)) for row in train], [str(i) for i in range(15)])
    ours = KneserNey.fit(*packed(train), order, 15, discounts=[[0, 0, 0], *[[0.6] * 3] * (order - 1)])
    compared = 0
    for row in test:
        found = np.exp(ours.log_probabilities(*packed([row])))
        for i in range(order - 1, len(row)):
            wanted = theirs.score(str(row[i]), [str(token) for token in row[i - order + 1 : i]])
            assert found[i - 1] == pytest.approx(wanted, abs=1e-6)
            compared += 1
    assert compared > 20


def test_every_target_once_and_the_same_ones_as_the_networks() -> None:
    from genmodels.config import RecurrentModelConfig
    from genmodels.language.recurrent import RecurrentLM

    test = [*text_like(6, 5, 30, 20), [0]]
    tokens, offsets = packed(test)
    model = KneserNey.fit(*packed(text_like(1, 20, 40, 20)), 3, 20)
    characters = np.arange(10, 16)
    ours = model.evaluate(tokens, offsets, characters)
    network = RecurrentLM(RecurrentModelConfig(embedding=4, hidden=4, layers=1), 20)
    theirs = evaluate(network, tokens, offsets, characters)
    assert ours.tokens == theirs.tokens == len(tokens) - len(test)
    np.testing.assert_array_equal(ours.document_tokens, theirs.document_tokens)
    np.testing.assert_array_equal(ours.document_characters, theirs.document_characters)
    alone = [-model.log_probabilities(*packed([row])).sum() for row in test[:-1]]  # documents do not see each other
    np.testing.assert_allclose(ours.document_nll_nats, [*alone, 0.0], rtol=1e-12)
    assert ours.bits_per_character == pytest.approx(sum(alone) / math.log(2) / characters.sum())
    part = model.evaluate(tokens, offsets[2:])  # documents further on in a longer array
    np.testing.assert_allclose(part.document_nll_nats, [*alone[2:], 0.0], rtol=1e-12)


def test_add_one_by_hand() -> None:
    model = KneserNey.fit(*packed([[0, 2, 3, 2, 3, 1], [0, 2, 2, 1]]), 2, 5)
    found = np.exp(model.add_one_log_probabilities(*packed([[0, 2, 3, 4, 1]])))
    np.testing.assert_allclose(found, [(2 + 1) / (2 + 4), (2 + 1) / (4 + 4), (0 + 1) / (2 + 4), 1 / 4])


def test_keys_do_not_overflow() -> None:
    rng = np.random.RandomState(0)
    rows = [[0, *rng.randint(60_000, 65_536, 300)] for _ in range(4)]
    model, slow = KneserNey.fit(*packed(rows), 5, 65_536), ByDictionary(rows, 5, 65_536)
    np.testing.assert_allclose(model.log_probabilities(*packed(rows)), slow.log_probabilities(rows), rtol=1e-9)


@pytest.mark.parametrize(
    ("documents", "order", "vocabulary", "message"),
    [
        ([[0, 2, 1]], 0, 5, "order of 1 or more"),
        ([[0]], 2, 5, "no token to predict"),
        ([[0, 7, 1]], 2, 5, "token id 7 is outside"),
        ([[2, 3, 1]], 2, 5, "must begin with <bos>"),
        ([[0, 2, 0, 1]], 2, 5, "hold it nowhere else"),
    ],
)
def test_bad_input_is_one_line(documents: Documents, order: int, vocabulary: int, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        KneserNey.fit(*packed(documents), order, vocabulary)
    assert "\n" not in str(caught.value)


def test_more_bad_input() -> None:
    tokens, offsets = packed([[0, 2, 3, 1]])
    with pytest.raises(UserError, match="cut 4 tokens"):
        KneserNey.fit(tokens, [0, 9], 2, 5)
    with pytest.raises(UserError, match="discounts of shape"):
        KneserNey.fit(tokens, offsets, 2, 5, discounts=[[2, 0, 0], [0, 0, 0]])
    model = KneserNey.fit(tokens, offsets, 2, 5)
    with pytest.raises(UserError, match="2 character counts for 1 documents"):
        model.evaluate(tokens, offsets, [3, 4])
    with pytest.raises(UserError, match="holds an id outside"):
        model.distribution([5])
    assert math.isnan(per_document(np.array([-1.0]), np.array([0, 2])).bits_per_character)


@pytest.mark.parametrize("what", ["counts_2", "keys_3", "kinds_2", "totals_3"])
def test_counts_that_contradict_each_other_are_refused(what: str) -> None:
    tokens, offsets = packed(text_like(1, 20, 40, 20))
    arrays = KneserNey.fit(tokens, offsets, 3, 20).restricted(tokens, offsets).to_arrays()
    arrays[what] = arrays[what][::-1] if what == "keys_3" else arrays[what] + (2 if what == "counts_2" else -1)
    with pytest.raises(DataError, match="make the result again"):
        KneserNey.from_arrays(arrays)
