"""What only the document can contradict: that the shipped networks and numbers are what each point of the assignment asks for.

That they are what they say they are is ``verify``'s to contradict (``genmodels.stages.base``), and that the code is
right, the tests': neither is proved again here. ``run(shipped)`` makes every check, ``table`` shows them beside those of
``verify``, a point a row. A check that fails, or cannot be made at all, is shown and counted; it never keeps the document
from being written.
"""

from genmodels.checks.check import Evidence, Outcome, registered, run
from genmodels.checks.tables import held, summary, table, table_rows

__all__ = ["Evidence", "Outcome", "held", "registered", "run", "summary", "table", "table_rows"]
