"""What is said of a bundle that cannot be opened."""

from pathlib import Path

from dragoman.bundle.errors import BundleCorrupt, BundleTooNew, BundleTooOld


def test_a_version_is_named_with_the_way_out():
    """A newer one asks for a newer dragoman, an older one for another export."""
    new, old = BundleTooNew(Path("m"), 4, 3), BundleTooOld(Path("m"), 2, 3)

    assert str(new).startswith("m: the bundle has format version 4, this dragoman reads up to 3; upgrade dragoman")
    assert (
        str(old)
        == "m: the bundle has format version 2, this dragoman reads 3; export the model again with this version"
    )
    assert (new.version, old.version, old.supported) == (4, 2, 3)


def test_problems_are_listed_and_counted():
    """Each on a line of its own."""
    error = BundleCorrupt(Path("m"), iter(["a is missing", "b has changed"]))

    assert str(error) == "m: refused for 2 reasons:\n  - a is missing\n  - b has changed"
    assert error.problems == ("a is missing", "b has changed")
