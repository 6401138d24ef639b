"""Digests of files."""

from dragoman.export.core.digests import sha256


def test_a_digest_is_that_of_the_content(tmp_path):
    """Through a link as well: model folders are made of them."""
    (tmp_path / "model").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("model")

    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "model") == sha256(tmp_path / "link") == expected
