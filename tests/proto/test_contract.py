"""The contract and the stubs beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from dragoman.v1 import translation_pb2, translation_pb2_grpc

PROTO = Path(__file__).resolve().parents[2] / "proto"
CONTRACT = "dragoman/v1/translation.proto"
STUBS = sorted((PROTO / CONTRACT).parent.glob("*_pb2*.py*"))


@pytest.fixture(scope="module", params=[CONTRACT, "dragoman/v1/admin.proto"])
def contract(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorProto:
    """A compiled contract with its comments."""
    output = tmp_path_factory.mktemp("contract") / "descriptors"
    command = [
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTO}",
        "--include_source_info",
        f"--descriptor_set_out={output}",
        request.param,
    ]
    subprocess.run([sys.executable, *command], check=True)
    return FileDescriptorSet.FromString(output.read_bytes()).file[0]


def comments(contract: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Every named thing of the contract with its comment."""
    by_path = {tuple(at.path): at.leading_comments.strip() for at in contract.source_code_info.location}
    # A comment's path alternates field numbers of the descriptor's own messages with positions in their lists.
    lists: list[tuple[int, int, list[tuple[str, list[str]]]]] = [
        (
            FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER,
            DescriptorProto.FIELD_FIELD_NUMBER,
            [(message.name, [field.name for field in message.field]) for message in contract.message_type],
        ),
        (
            FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER,
            EnumDescriptorProto.VALUE_FIELD_NUMBER,
            [(enum.name, [value.name for value in enum.value]) for enum in contract.enum_type],
        ),
        (
            FileDescriptorProto.SERVICE_FIELD_NUMBER,
            ServiceDescriptorProto.METHOD_FIELD_NUMBER,
            [(service.name, [method.name for method in service.method]) for service in contract.service],
        ),
    ]
    for owner_number, member_number, owners in lists:
        for i, (owner, members) in enumerate(owners):
            yield owner, by_path.get((owner_number, i), "")
            for j, member in enumerate(members):
                yield f"{owner}.{member}", by_path.get((owner_number, i, member_number, j), "")


def sent_by_clients(contract: FileDescriptorProto) -> set[str]:
    """Names of the messages that a request is made of."""
    messages = {message.name: message for message in contract.message_type}
    waiting = [method.input_type.rpartition(".")[2] for service in contract.service for method in service.method]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in messages and name not in found:
            found.add(name)
            waiting += [field.type_name.rpartition(".")[2] for field in messages[name].field]
    return found


def test_regenerated_stubs_are_the_committed_ones_byte_for_byte(tmp_path: Path) -> None:
    """Whoever changes the contract commits its stubs with it."""
    subprocess.run([sys.executable, str(PROTO / "generate.py"), "--output", str(tmp_path)], check=True)

    written = sorted((tmp_path / CONTRACT).parent.iterdir())
    assert [stub.name for stub in written] == [stub.name for stub in STUBS]
    assert [
        stub.name for stub, kept in zip(written, STUBS, strict=True) if stub.read_bytes() != kept.read_bytes()
    ] == []


def test_the_contract_passes_its_linter() -> None:
    """Names, packages and comments keep the rules of `buf.yaml`."""
    buf = Path(sys.executable).with_name("buf")

    done = subprocess.run([buf, "lint"], cwd=PROTO, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_everything_in_the_contract_has_a_comment(contract: FileDescriptorProto) -> None:
    """No message, field, enum, value, service or call goes without a sentence that ends."""
    described = dict(comments(contract))

    assert len(described) > (200 if contract.name == CONTRACT else 20)
    assert [name for name, comment in described.items() if not comment.endswith((".", ":"))] == []


def test_every_field_that_a_client_sends_says_what_leaving_it_out_means(contract: FileDescriptorProto) -> None:
    """The comment of a request field names its default, or that it has none."""
    described = dict(comments(contract))
    fields = [
        f"{m.name}.{field.name}"
        for m in contract.message_type
        if m.name in sent_by_clients(contract)
        for field in m.field
    ]

    assert ("Sampling.top_k" if contract.name == CONTRACT else "LoadBundleRequest.directory") in fields
    assert [name for name in fields if "default" not in described[name].lower()] == []


def test_unset_decoding_scalars_can_be_told_from_zero(contract: FileDescriptorProto) -> None:
    """A length penalty of 0 is a wish; one that is not set is the bundle's default."""
    names = ("DecodingOptions", "Sampling", "NatOptions") if contract.name == CONTRACT else ()
    for name in names:
        (message,) = (message for message in contract.message_type if message.name == name)
        scalars = [
            f for f in message.field if f.label != f.LABEL_REPEATED and f.type not in (f.TYPE_ENUM, f.TYPE_MESSAGE)
        ]
        assert scalars
        assert [field.name for field in scalars if not field.proto3_optional] == []


def test_stubs_work_with_the_protobuf_floor_of_the_base_install() -> None:
    """The stubs refuse no protobuf from 6.31.1 on: generating with newer tools raises the floor for every client."""
    text = (PROTO / "dragoman/v1/translation_pb2.py").read_text()

    required = re.search(r"ValidateProtobufRuntimeVersion\(\s*\S+\s*(\d+),\s*(\d+),\s*(\d+)", text)
    assert required is not None
    assert tuple(map(int, required.groups())) == (6, 31, 1)


def test_stubs_work_with_the_grpcio_floor_of_the_base_install() -> None:
    """The service stubs refuse no grpcio from 1.74 on."""
    assert vars(translation_pb2_grpc)["GRPC_GENERATED_VERSION"] == "1.74.0"


def test_the_service_offers_exactly_the_promised_calls() -> None:
    """A call that disappears or changes its streaming breaks every client."""
    service = translation_pb2.DESCRIPTOR.services_by_name["TranslationService"]

    assert {method.name: (method.client_streaming, method.server_streaming) for method in service.methods} == {
        "Translate": (False, False),
        "TranslateStream": (False, True),
        "TranslatePipe": (True, True),
        "Score": (False, False),
        "ListModels": (False, False),
        "GetModel": (False, False),
    }


@pytest.mark.parametrize("name", ["DecodingOptions", "NatOptions", "SpeculationOptions"])
def test_the_reference_names_every_field_that_says_how_to_decode(name: str) -> None:
    """`server/reference/fields.md` says what each of them goes with."""
    page = (PROTO.parent / "server/reference/fields.md").read_text("utf-8")
    fields = [field.name for field in translation_pb2.DESCRIPTOR.message_types_by_name[name].fields]

    assert [field for field in fields if f"`{field}`" not in page] == []


def test_the_numbers_of_fields_have_no_gaps() -> None:
    """Nothing has been removed from the contract yet, so a gap would be a number that was forgotten."""
    messages = translation_pb2.DESCRIPTOR.message_types_by_name.values()

    for message in messages:
        assert sorted(message.fields_by_number) == list(range(1, len(message.fields) + 1)), message.name
