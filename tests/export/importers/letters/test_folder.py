"""What is recognised as a model of letters and sounds."""

import json
import struct

import numpy as np
import pytest

from dragoman.export.importers.letters.folder import metadata, recognises

TABLES = {"in_table": "a\0b", "out_table": "c\0d", "sos_idx": "0", "eos_idx": "1"}


def safetensors(path, header) -> None:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(data)) + data)


def test_a_file_is_known_by_what_its_head_names(tmp_path):
    """Whatever it is called."""
    safetensors(tmp_path / "m.safetensors", {"__metadata__": TABLES})
    np.savez(tmp_path / "m.npz", enc_w_ih=np.zeros(1))

    assert recognises(tmp_path / "m.safetensors") == "e2k's model"
    assert recognises(tmp_path / "m.npz") == "g2p-en's model"
    assert metadata(tmp_path / "m.safetensors") == TABLES


@pytest.mark.parametrize(
    "header", [{}, {"__metadata__": []}, {"__metadata__": {"format": "pt"}}, [], b"{", b"[" * 900_000, b"\xff", 7]
)
def test_other_files_are_not(tmp_path, header):
    """Nor those that are damaged, cut off or empty."""
    safetensors(tmp_path / "m.safetensors", header)
    (tmp_path / "short.safetensors").write_bytes(b"\1")
    (tmp_path / "none.npz").write_bytes(b"PK no archive")
    np.savez(tmp_path / "other.npz", weights=np.zeros(1))

    assert [recognises(path) for path in (*tmp_path.iterdir(), tmp_path)] == [None] * 5


def test_an_archive_whose_directory_is_broken_is_no_models(tmp_path):
    """Whoever asks it for another format is not stopped by that."""
    np.savez(tmp_path / "m.npz", enc_w_ih=np.zeros(1))
    data = (tmp_path / "m.npz").read_bytes()
    (tmp_path / "m.npz").write_bytes(data.replace(b"PK\1\2", b"PK\7\7"))

    assert recognises(tmp_path / "m.npz") is None
