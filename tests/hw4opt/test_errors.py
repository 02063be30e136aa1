"""Words of messages."""

import pytest

from hw4opt.errors import counted, size_text


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (15_400, "15.4 kB"), (2.05e9, "2.05 GB")]
)
def test_sizes_are_in_units_that_are_read_at_a_glance(count, said):
    assert size_text(count) == said


def test_counts_agree_with_their_nouns():
    assert counted(1, "setting") == "1 setting" and counted(1_200, "setting") == "1,200 settings"
