"""Photographs of smears by the API: sent, looked through, listed, shown, their cells settled and signed."""

from __future__ import annotations

import hashlib

import pytest
from tests.review.conftest import PASSWORD
from tests.review.programs import asking, make, serving, wait
from tests.review.test_photographs import field

TABS = ("blast", "normal", "indeterminate", "rejected")


@pytest.fixture
def sam(url, tmp_path, tiny_bundle):
    with (
        serving(tmp_path / "room", tiny_bundle, url) as served,
        asking(served.app, served.key()) as client,
    ):
        yield client


def send(client, address, *files, key: str = "", **fields):
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(
        f"{address}/files", files=[("files", file) for file in files], data=fields, headers=headers
    )


def test_a_photograph_goes_the_whole_way_by_the_api_alone(sam):
    address, smear = make(sam), ("field.png", field())
    fields = {"kind": "photographs", "pixel_size": "0.1"}
    first = send(sam, address, smear, key="once", **fields)
    assert first.status_code == 200, first.text
    assert first.json()["files"][0]["kind"] == "photograph" and first.json()["job"]["num_photographs"] == 1
    assert send(sam, address, smear, key="once", **fields).json() == first.json()
    assert (
        send(sam, address, smear, key="once").status_code == 422
    )  # the same bytes as a cell are another request
    done = wait(sam, address)
    assert (done["state"], done["num_photographs_done"]) == ("done", 1)

    (told,) = sam.get(f"{address}/photographs").json()["items"]
    assert (told["name"], told["micrometres_per_pixel"], told["scale_source"]) == ("field.png", 0.1, "given")
    assert told["num_cells"] == done["num_done"] >= 6 and told["reason"] is None
    place = f"{address}/photographs/{told['photograph_id']}"
    whole = sam.get(f"{place}/image")
    assert hashlib.sha256(whole.content).hexdigest() == told["stored_sha256"]
    assert sam.get(f"{place}/overview").content.startswith(b"\xff\xd8\xff")

    cells = sam.get(f"{address}/cells").json()["items"]
    assert {cell["photograph"] for cell in cells} == {"field.png"}
    one = sam.get(f"{address}/cells/{cells[0]['cell_id']}").json()
    assert (one["place"]["number"], len(one["place"]["box"])) == (1, 4) and len(one["place"]["outline"]) > 8
    around = sam.get(f"{address}/cells/{cells[0]['cell_id']}/surroundings")
    assert around.headers["content-type"] == "image/jpeg"

    apart = sam.get(f"{address}/cells", params={"apart": "not single"}).json()["items"]
    read = sam.get(f"{address}/differential").json()
    assert read["by_model"]["num_not_single"] == len(apart)
    confirmed = sam.post(f"{address}/approvals", json={"tab": "indeterminate", "apart": "not single"})
    left = [cell["cell_id"] for cell in sam.get(f"{address}/cells?reviewed=false").json()["items"]]
    assert set(left) == {cell["cell_id"] for cell in cells} - {cell["cell_id"] for cell in apart}
    assert (confirmed.json()["action_id"] is not None) == bool(apart)
    for tab in TABS:
        sam.post(f"{address}/approvals", json={"tab": tab})
    assert sam.post(f"{address}/signature", json={"password": PASSWORD}).status_code == 201
    (smear_told,) = sam.get(f"{address}/report").json()["content"]["smears"]
    assert smear_told["name"] == "field.png"


def test_what_is_said_of_files_must_be_something(sam):
    address, smear = make(sam), ("field.png", field())
    for fields, said in (
        ({"kind": "smears"}, "expected a kind"),
        ({"kind": "photographs", "pixel_size": "wide"}, "as a number"),
        ({"kind": "photographs", "pixel_size": ""}, "as a number"),
        ({"kind": "photographs", "pixel_size": "40"}, "micrometres per pixel"),
    ):
        answer = send(sam, address, smear, **fields)
        assert answer.status_code == 422 and said in answer.json()["error"]["message"]
    assert sam.get(f"{address}/files").json()["items"] == []


def test_a_cell_that_came_by_itself_lies_nowhere_and_a_photograph_is_no_cell(sam, cells):
    address = make(sam)
    answer = send(sam, address, cells[0])
    assert answer.json()["files"][0]["kind"] == "cell" and wait(sam, address)["state"] == "done"
    (cell,) = sam.get(f"{address}/cells").json()["items"]
    assert sam.get(f"{address}/cells/{cell['cell_id']}").json()["place"] is None
    assert sam.get(f"{address}/cells/{cell['cell_id']}/surroundings").status_code == 404
    assert sam.get(f"{address}/photographs/{cell['image_id']}/image").status_code == 404
    refused = send(sam, address, cells[1], kind="photographs").json()["files"][0]
    assert "send it as a cell" in refused["reason"] and refused["stored_sha256"] is None
