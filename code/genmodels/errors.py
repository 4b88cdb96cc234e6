"""The exceptions that mean "the user can mend this".

The command line prints its message as a single line and exits with its code; any other
exception is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right: a missing file, a wrong checksum, a bad option.

    The message is one line. It says what was found, what was wanted, and what to do.
    """

    exit_code = 2


class DataError(UserError):
    """A data file is absent, damaged, or not the one that was asked for."""

    exit_code = 3


class StaleResult(UserError):
    """A shipped result does not belong to what was asked, or has been altered."""

    exit_code = 4


class WeightsAbsent(StaleResult):
    """A result is here but for its weights, as in a hand-in: what needs them can neither be made nor contradicted."""


class CheckFailed(UserError):
    """A check failed: what is shipped was contradicted. A document that was being made is written, and says so."""

    exit_code = 5


class ClaimsUnmet(UserError):
    """Proofs hold, but a sentence does not fit these results, or a chunk died: the document was written, and marks them."""

    exit_code = 6
