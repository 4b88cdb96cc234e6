"""The rubric: what each point of the assignment claims, contradicted or not while the document is rendered.

``run(shipped)`` makes every check, ``table`` shows them a point a row, ``finish`` leaves a verdict that
``python -m genmodels rubric`` turns into an exit code (``genmodels.render.verdict``). A check that fails, or cannot be made
at all, is shown and counted; it never keeps the document from being written.
"""

from genmodels.checks.check import Evidence, Outcome, registered, run
from genmodels.checks.tables import summary, table, table_rows
from genmodels.render.verdict import finish

__all__ = ["Evidence", "Outcome", "finish", "registered", "run", "summary", "table", "table_rows"]
