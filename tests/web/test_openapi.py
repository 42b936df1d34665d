"""The OpenAPI document: true, complete, and no request that it allows makes the server fail."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

schemathesis = pytest.importorskip("schemathesis")
requests = pytest.importorskip("requests")

EXAMPLES = 3 * int(os.environ.get("RADSNAP_SOAK", "1"))


def test_every_address_documents_its_errors_in_the_one_shape(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")) and path != "/ready" and not path.startswith("/dicomweb"):
                    shape = answer["content"]["application/json"]["schema"]["$ref"]
                    assert shape.endswith(("ErrorAnswer", "HTTPValidationError")), (method, path, status)


@schemathesis.serializer('multipart/related; type="application/dicom"')
def related(_: Any, value: Any) -> bytes:
    """A body of one part; its boundary stands in `RELATED`."""
    given = value if isinstance(value, bytes) else getattr(value, "data", str(value).encode())
    return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + given + b"\r\n--b--"


RELATED = 'multipart/related; type="application/dicom"; boundary=b'


def test_no_request_makes_the_server_fail(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url="http://testserver")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        ask_anything(client, operation)


def ask_anything(client: TestClient, operation: Any) -> None:
    """Send what the document allows of an operation, and what it nearly allows."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        sent = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
        if operation.method == "post" and operation.path.startswith("/dicomweb"):
            sent.headers["Content-Type"] = RELATED
        headers = {name: str(value).encode("utf-8", "replace") for name, value in sent.headers.items()}
        answer = client.request(str(sent.method), str(sent.url), content=sent.body, headers=headers)
        assert answer.status_code < 500, (sent.url, sent.body, answer.text)
        if answer.status_code >= 400 and answer.status_code != 409:
            assert set(answer.json()) == {"error"}, (sent.url, answer.text)

    ask()
