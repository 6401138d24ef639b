"""An operator's view of a server's bundles; `commands/test_bundles.py` has it over a connection."""

import pytest

from dragoman.client import bundles
from dragoman.client.errors import Unavailable
from dragoman.v1 import admin_pb2 as pb
from dragoman.v1 import translation_pb2


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (translation_pb2.MODEL_STATE_SERVING, "serving"),
        (translation_pb2.MODEL_STATE_FAILED, "failed"),
        (translation_pb2.MODEL_STATE_UNSPECIFIED, "unloaded"),
    ],
)
def test_a_bundle_has_a_state_that_has_a_name(state: translation_pb2.ModelState, name: str) -> None:
    """All other fields are those of the message."""
    read = bundles._bundle(pb.Bundle(directory="/a", model="m", version="1", state=state, problem="p"))

    assert read == bundles.ServedBundle("/a", "m", "1", name, "p")


def test_failures_are_the_clients_errors() -> None:
    """As those of calls for translations."""
    with bundles.Bundles("127.0.0.1:1") as nowhere, pytest.raises(Unavailable):
        nowhere.list()
