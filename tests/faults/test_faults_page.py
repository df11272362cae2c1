"""docs/faults.md is what the tests found, and says what each failure means."""

from __future__ import annotations

from faults import matrix
from faults.conftest import WRITES


def test_the_page_has_every_row_and_the_table_of_failures() -> None:
    if WRITES:
        return
    page = matrix.PAGE.read_text()
    rows = matrix.read(page)
    assert set(rows) == set(matrix.FAULTS), "run scripts/make-faults"
    assert page == matrix.render(rows), "run scripts/make-faults"
