"""What `dragoman export` says while it works."""

import pytest

from dragoman.bundle.manifest import Texts
from dragoman.export.command import probed, time_left
from dragoman.server.testing import write_bundle


@pytest.mark.parametrize(
    ("stage", "elapsed_s", "said"),
    [
        ("tracing encoder", 100.0, ""),  # hardly begun: reading says nothing of the rest
        ("tracing step", 14.0, ", about 86 s left"),
        ("comparing with the network", 0.5, ""),  # over before it could be read
        ("comparing with the network", 230.0, ", about 4 min left"),
        ("comparing with transformers 5.23.0", 450.0, ", about 50 s left"),
        ("something new", 50.0, ""),
    ],
)
def test_how_long_it_will_take_is_told_from_what_has_passed(stage, elapsed_s, said):
    """The rest of an export is in proportion to what was done, by the share of each stage in a large one."""
    assert time_left(stage, elapsed_s) == said


def test_forms_are_for_translations(tmp_path):
    """A bundle that does something else is not tried for what it copies."""
    bundle = write_bundle(tmp_path / "bundle", texts=Texts("none", "truncate", translated=False))

    assert probed(bundle, lambda _: None) == (bundle, "")
