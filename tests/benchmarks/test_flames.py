"""Flame graphs of sampled stacks."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.wire.flames import draw, gather

RAW = """\
main (a.py:1);unrolled_run (trio/_core/_run.py:1);read (server/x.py:1);parse (server/y.py:1) 300
main (a.py:1);unrolled_run (trio/_core/_run.py:1);read (server/x.py:1) 100
main (a.py:1);unrolled_run (trio/_core/_run.py:1);<lambda> (other.py:1) 99
main (a.py:1);unrolled_run (trio/_core/_run.py:1);rare (server/z.py:1) 1
_bootstrap (threading.py:1);wait (threading.py:2) 500
"""


def test_only_the_loop_counts() -> None:
    """A sampler takes threads that wait for a lock to be busy, and they would fill half of the picture."""
    assert gather(RAW).samples == 500


def test_a_box_is_as_wide_as_its_share() -> None:
    """It is by the widths that one reads it."""
    picture = ElementTree.fromstring(draw(gather(RAW), "a & b"))
    boxes = {group[0].text: float(group[1].get("width", "")) for group in picture if group.tag.endswith("}g")}

    assert boxes["read (server/x.py:1): 80.0%"] == 959.5
    assert boxes["parse (server/y.py:1): 60.0%"] == 719.5
    assert "<lambda> (other.py:1): 19.8%" in boxes


def test_what_is_too_narrow_to_be_seen_is_left_out() -> None:
    """Thousands of slivers would make a large file that shows nothing more."""
    assert "rare" in draw(gather(RAW), "")
    assert "rare" not in draw(gather(RAW.replace(" 99", " 9999")), "")
