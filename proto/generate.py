"""Writes the Python stubs of the contracts beside it: `python proto/generate.py`.

The grpcio-tools of the `dev` extra write the messages, their types and the service. They leave the service untyped; its
types are written here, from the compiled contract, for blocking and asyncio channels alike.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
CONTRACTS = "dragoman/v1/translation.proto", "dragoman/v1/admin.proto"

HEADER = '''\
"""Types of the generated gRPC service in {source}; written by proto/generate.py, not by hand."""
# ruff: noqa
# fmt: off

from abc import ABCMeta
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, TypeVar, overload

import grpc
import grpc.aio
from {package} import {module} as _pb2

_T = TypeVar("_T")

# A handler may be a function or a coroutine: its context is one of the two, its requests come in either way.
class _Context(grpc.ServicerContext, grpc.aio.ServicerContext[Any, Any]): ...  # type: ignore[misc]
class _Requests(Iterator[_T], AsyncIterator[_T], metaclass=ABCMeta): ...
'''

ADD = """
def add_{service}Servicer_to_server(servicer: {service}Servicer, server: grpc.Server | grpc.aio.Server) -> None: ...
"""


def compile_contracts(output: Path) -> list[FileDescriptorProto]:
    """Write the messages, their types and the services below `output`; answer what was compiled."""
    descriptors = output / "descriptors"
    # Includes the well-known types that ship with grpcio-tools.
    includes = [f"-I{ROOT}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    kinds = ("python", "pyi", "grpc_python")
    outputs = [f"--{kind}_out={output}" for kind in kinds]
    status = protoc.main(["protoc", *includes, *outputs, f"--descriptor_set_out={descriptors}", *CONTRACTS])
    if status != 0:
        raise SystemExit(status)
    compiled = FileDescriptorSet.FromString(descriptors.read_bytes())
    descriptors.unlink()
    return list(compiled.file)


def service_types(contract: FileDescriptorProto) -> str:
    """The text of the service's `.pyi`."""
    package, _, file = contract.name.removesuffix(".proto").replace("/", ".").rpartition(".")
    text = HEADER.format(source=contract.name, package=package, module=f"{file}_pb2")
    for service in contract.service:
        text += _stub(f"{service.name}Stub", "grpc", list(service.method), service.name)
        text += _stub(f"{service.name}AsyncStub", "grpc.aio", list(service.method), service.name)
        text += f"\nclass {service.name}Servicer:\n" + "".join(map(_handler, service.method))
        text += ADD.format(service=service.name)
    return text


def _kind(method: MethodDescriptorProto) -> str:
    return f"{'Stream' if method.client_streaming else 'Unary'}{'Stream' if method.server_streaming else 'Unary'}"


def _messages(method: MethodDescriptorProto) -> tuple[str, str]:
    request, response = (name.rpartition(".")[2] for name in (method.input_type, method.output_type))
    return f"_pb2.{request}", f"_pb2.{response}"


def _stub(name: str, module: str, methods: list[MethodDescriptorProto], service: str) -> str:
    lines = [f"\nclass {name}:"]
    if module == "grpc":
        # One class at run time: the channel decides which of the two sets of types holds.
        lines += [
            "    @overload",
            f"    def __new__(cls, channel: grpc.Channel) -> {service}Stub: ...",
            "    @overload",
            f"    def __new__(cls, channel: grpc.aio.Channel) -> {service}AsyncStub: ...  # type: ignore[misc]",
        ]
    for method in methods:
        request, response = _messages(method)
        lines.append(f"    {method.name}: {module}.{_kind(method)}MultiCallable[{request}, {response}]")
    return "\n".join(lines) + "\n"


def _handler(method: MethodDescriptorProto) -> str:
    request, response = _messages(method)
    taken = f"_Requests[{request}]" if method.client_streaming else request
    given = (
        f"Iterator[{response}] | AsyncIterator[{response}]"
        if method.server_streaming
        else (f"{response} | Awaitable[{response}]")
    )
    name = "request_iterator" if method.client_streaming else "request"
    return f"    def {method.name}(self, {name}: {taken}, context: _Context) -> {given}: ...\n"


def generate(output: Path) -> None:
    """Write all stubs below `output`."""
    for contract in compile_contracts(output):
        service = output / contract.name.replace(".proto", "_pb2_grpc.pyi")
        service.write_text(service_types(contract), encoding="utf-8")


def main() -> None:
    """Write the stubs, beside the contract unless told otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT, help="folder to write into (default: beside the contract)")
    output: Path = parser.parse_args().output
    with tempfile.TemporaryDirectory() as fresh:
        # All files or none: a contract that does not compile leaves the old stubs as they are.
        generate(Path(fresh))
        for stub in Path(fresh).rglob("*.py*"):
            target = output / stub.relative_to(fresh)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(stub.read_bytes())


if __name__ == "__main__":
    main()
