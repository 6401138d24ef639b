"""Files of torch.save that hold objects, lies, or orders."""

import argparse
import os
import pickle
import random
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict

import pytest
import torch

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.torch_pickle import Inert, plain, read_pickle


def saved(path, value, *, legacy: bool = False):
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def reasons_against(path) -> str:
    reasons = Reasons()
    assert read_pickle(path, reasons) is None
    with pytest.raises(Exception, match="cannot be exported") as caught:
        reasons.raise_if_any(path)
    return str(caught.value)


def a_class(monkeypatch, module: str, name: str) -> type:
    """A class that pickles under a name of another package; that package is gone again when it is read."""
    made = type(name, (), {"__module__": module})
    parts = module.split(".")
    for n in range(len(parts)):
        name_of = ".".join(parts[: n + 1])
        if name_of not in sys.modules:
            monkeypatch.setitem(sys.modules, name_of, types.ModuleType(name_of))
    setattr(sys.modules[module], name, made)
    return made


@pytest.mark.parametrize("legacy", [False, True])
def test_options_and_tensors_are_read_in_both_forms(tmp_path, legacy):
    """Tensors come back exactly, views of one storage included, and a namespace as its values."""
    whole = torch.arange(12.0)
    value = {
        "args": argparse.Namespace(arch="transformer", sizes=(1, [2.5, None]), nested={"a": True}),
        "model": OrderedDict(a=whole.view(3, 4), b=whole[2:5], h=whole.half(), p=torch.nn.Parameter(whole)),
    }

    found = read_pickle(saved(tmp_path / "a.pt", value, legacy=legacy), reasons := Reasons())

    assert len(reasons) == 0
    assert plain(found["args"]) == {"arch": "transformer", "sizes": [1, [2.5, None]], "nested": {"a": True}}
    for name, tensor in value["model"].items():
        assert torch.equal(found["model"][name], tensor)
        assert found["model"][name].dtype == tensor.dtype


def test_a_dictionary_with_a_default_is_one_without(tmp_path):
    """omegaconf keeps one beside its options: what it would call for missing keys is not kept."""
    value = {"cache": defaultdict(dict, {"a": {"b": 1}}), "types": [int, str], "args": argparse.Namespace(a=1)}

    found = read_pickle(saved(tmp_path / "a.pt", value), reasons := Reasons())

    assert len(reasons) == 0
    assert plain(found) == {"cache": {"a": {"b": 1}}, "types": ["<builtins.int>", "<builtins.str>"], "args": {"a": 1}}


def test_objects_of_toolkits_become_inert(tmp_path, monkeypatch):
    """Containers and values of omegaconf are what they hold, of any other object its name is left, and nothing runs."""
    container, value = (a_class(monkeypatch, "omegaconf.nodes", name) for name in ("DictConfig", "AnyNode"))
    meter = a_class(monkeypatch, "fairseq.meters", "AverageMeter")

    def an_object(kind, **state):
        made = kind()
        made.__dict__.update(state)
        return made

    held = {"layers": an_object(value, _val=6, _metadata=None), "none": an_object(value, _val=None)}
    config = an_object(container, _content=held, _parent=None)
    config.__dict__["_parent"] = config  # as omegaconf's own: up as well as down
    path = saved(tmp_path / "a.pt", {"cfg": config, "meter": an_object(meter, sum=1)})
    monkeypatch.undo()

    found = read_pickle(path, reasons := Reasons())

    assert len(reasons) == 0
    assert plain(found) == {"cfg": {"layers": 6, "none": None}, "meter": "<fairseq.meters.AverageMeter>"}
    assert isinstance(found["meter"], Inert)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, call, *args):
        self.call = call, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("call", "named"),
    [(os.mkdir, os.mkdir.__module__ + ".mkdir"), (eval, "builtins.eval"), (__import__, "builtins.__import__")],
)
def test_a_file_that_would_run_code_is_refused_by_name(tmp_path, call, named, legacy):
    """It says what would be called and what to do; nothing is called."""
    target = tmp_path / "made"
    argument = str(target) if call is os.mkdir else f"__import__('os').mkdir({str(target)!r})"
    path = saved(tmp_path / "a.pt", {"model": {}, "args": Evil(call, argument)}, legacy=legacy)

    said = reasons_against(path)

    assert named in said
    assert "save its options and tensors alone" in said
    assert not target.exists()


def test_every_foreign_name_is_told_at_once(tmp_path):
    """Also names that loading would never come to."""
    path = saved(tmp_path / "a.pt", [Evil(os.mkdir, "a"), Evil(exec, "b"), Evil(os.rmdir, "c")])

    said = reasons_against(path)

    assert all(name in said for name in ("mkdir", "exec", "rmdir"))


@pytest.mark.parametrize(
    "order",
    [
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x02\x82\x01.",
    ],
    ids=["on-the-stack", "instance", "extension"],
)
def test_names_in_other_forms_are_refused_too(tmp_path, order):
    """torch.save writes names in one way; what other pickles can do is not read."""
    path = saved(tmp_path / "a.pt", {"model": {}})
    rewrite(path, {"data.pkl": order})

    assert "a way of its own" in reasons_against(path)


def rewrite(path, changed: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """The archive with other contents of some records."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in records.items():
            archive.writestr(name, changed.get(name.partition("/")[2], data))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kept", [0, 9, 300, -100])
def test_files_that_were_cut_off(tmp_path, legacy, kept):
    """Wherever it ends too early, it is said to be damaged."""
    path = saved(tmp_path / "a.pt", {"model": {"a": torch.zeros(100)}}, legacy=legacy)
    path.write_bytes(path.read_bytes()[:kept])

    said = reasons_against(path)

    assert "damaged" in said
    assert "fetch it again" in said


@pytest.mark.parametrize("legacy", [False, True])
def test_sizes_that_the_file_does_not_have(tmp_path, legacy):
    """A storage that claims a hundred terabytes is refused before they are asked for."""
    path = saved(tmp_path / "a.pt", {"a": torch.zeros(1_000_003)}, legacy=legacy)
    (size,) = (bytes.fromhex("4a 43 42 0f 00"),)
    claimed = b"\x8a\x06" + (10**14 // 4).to_bytes(6, "little")
    if legacy:
        path.write_bytes(path.read_bytes().replace(size, claimed))
    else:
        with zipfile.ZipFile(path) as archive:
            main = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
        assert size in main
        rewrite(path, {"data.pkl": main.replace(size, claimed)})

    assert "damaged" in reasons_against(path)


def test_a_compressed_archive_is_refused(tmp_path):
    """A few bytes could fill the memory."""
    path = saved(tmp_path / "a.pt", {"a": torch.zeros(1_000_000)})
    rewrite(path, {}, zipfile.ZIP_DEFLATED)

    assert "compressed" in reasons_against(path)


def test_names_of_records_lead_nowhere(tmp_path):
    """Nothing is unpacked, so a record that is called after a file outside is only a record."""
    path = saved(tmp_path / "a.pt", {"a": torch.ones(3)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../outside", b"x")
        archive.writestr("/outside", b"x")

    read_pickle(path, Reasons())

    assert {file.name for file in tmp_path.iterdir()} == {"a.pt"}
    assert not (tmp_path.parent / "outside").exists()


def test_other_files_are_told_apart(tmp_path):
    """A tar of PyTorch's first months, a bare pickle, and text: each is told what it is not."""
    (tmp_path / "tar.pt").write_bytes(b"\0" * 257 + b"ustar\0" + b"\0" * 300)
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"model": {}}))
    (tmp_path / "text.pt").write_text("model")

    assert "a tar" in reasons_against(tmp_path / "tar.pt")
    assert "no file of torch.save" in reasons_against(tmp_path / "pickle.pt")
    assert "no file of torch.save" in reasons_against(tmp_path / "text.pt")
    assert "damaged" in reasons_against(tmp_path / "absent.pt")


def test_options_in_one_another_without_end():
    """A few hundred bytes that would become 2**40 options are no options."""
    value: object = "x"
    for _ in range(40):
        value = [value, value]

    with pytest.raises(ValueError, match="options"):
        plain(value)


@pytest.mark.parametrize("legacy", [False, True])
def test_damage_of_any_kind_is_told(tmp_path, legacy):
    """Whatever byte is another, the file is read or refused with a reason; nothing else comes of it."""
    value = {"args": argparse.Namespace(a=[1, "b"]), "model": {"a": torch.zeros(5, 3), "b": torch.zeros(4).half()}}
    data = saved(tmp_path / "a.pt", value, legacy=legacy).read_bytes()
    refused = 0

    for seed in range(300):
        rng = random.Random(seed)
        spoilt = bytearray(data)
        for _ in range(rng.choice([1, 1, 4])):
            spoilt[rng.randrange(min(len(data), 900))] = rng.randrange(256)
        path = tmp_path / f"{seed}.pt"
        path.write_bytes(spoilt)
        reasons = Reasons()
        found = read_pickle(path, reasons)
        assert found is None or len(reasons) == 0
        refused += bool(len(reasons))

    assert 100 < refused < 300
