"""Names in a file of torch.save, without loading it."""

import io
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.torch_names import globals_of, main_pickle, names_in


@pytest.mark.parametrize("is_archive", [True, False])
def test_every_name_is_told_in_both_forms(tmp_path, is_archive):
    """Containers, storages and what rebuilds tensors."""
    path = tmp_path / "model.pt"
    torch.save({"a": OrderedDict(b=torch.zeros(2))}, path, _use_new_zipfile_serialization=is_archive)

    names = set(names_in(path, Reasons()))

    assert {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2"} <= names
    assert all(name.startswith(("torch.", "collections.")) for name in names)


def test_names_of_python_2_are_todays():
    """Modules and types that have been renamed since."""
    pickled = pickle.dumps([int, bytearray], protocol=2, fix_imports=True)

    assert set(globals_of(io.BytesIO(pickled))) <= {"builtins.int", "builtins.bytearray", "builtins.bytes"}


def test_a_name_in_another_way_than_torchs_is_told_as_such():
    """Protocol 4 names things by the stack, which torch.save never does."""
    (name,) = globals_of(io.BytesIO(pickle.dumps(OrderedDict, protocol=4)))

    assert "STACK_GLOBAL" in name


def test_an_archive_that_would_grow_is_refused():
    """torch.save never compresses."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"x")

    with zipfile.ZipFile(content) as archive, pytest.raises(ValueError, match="compressed"):
        main_pickle(archive)


def test_other_files_are_a_reason(tmp_path):
    """Nothing in them is looked at."""
    (tmp_path / "model.pt").write_bytes(b"GGUF" * 200)
    reasons = Reasons()

    assert list(names_in(tmp_path / "model.pt", reasons)) == []
    with pytest.raises(UnsupportedModel, match=r"model\.pt is no file of torch\.save"):
        reasons.raise_if_any(tmp_path)
