"""A folder of cells through the review room by its API: a case, its files, and what waits for review.

    python examples/review_api.py ADDRESS PSEUDONYM FOLDER

The key comes from the environment: LEUKOSCOPE_KEY, made in the room under Account, for `read` and `review`.
"""

import os
import sys
import time
import uuid
from pathlib import Path

import httpx

AT_ONCE = 50


def main(address: str, subject_id: str, folder: Path) -> None:
    """Make a case, send the folder, wait, and print what was read."""
    headers = {"Authorization": f"Bearer {os.environ['LEUKOSCOPE_KEY']}"}
    with httpx.Client(base_url=f"{address}/api/v1/", headers=headers, timeout=120) as room:
        case = ask(room, "POST", "cases", json={"subject_id": subject_id})
        place = f"cases/{case['case_id']}"
        send(room, place, sorted(path for path in folder.rglob("*") if path.is_file()))
        while (job := ask(room, "GET", f"{place}/jobs")["items"][0])["state"] in ("queued", "running"):
            print(f"{job['num_done']} of {job['num_all']} cells read")
            time.sleep(1)
        show(room, place)


def send(room: httpx.Client, place: str, paths: list[Path]) -> None:
    """Send files, some at a time, each request until it is answered."""
    for start in range(0, len(paths), AT_ONCE):
        files = [("files", (path.name, path.read_bytes())) for path in paths[start : start + AT_ONCE]]
        key = {"Idempotency-Key": str(uuid.uuid4())}
        for attempt in range(5):  # the same key each time: what arrived is not taken twice
            try:
                taken = ask(room, "POST", f"{place}/files", files=files, headers=key)
                break
            except httpx.TransportError:
                time.sleep(2**attempt)
        else:
            raise SystemExit("the room does not answer")
        for file in taken["files"]:
            if file["reason"]:
                print(f"not taken: {file['name']}: {file['reason']}")


def show(room: httpx.Client, place: str) -> None:
    """Print the share of cells called blast, and how many wait for review."""
    read = ask(room, "GET", f"{place}/differential")
    share = read["by_model"]
    if share["fraction"] is None:
        print("no cell is judged by the model")
    else:
        print(f"{share['fraction']:.1%} ({share['ci_low']:.1%} to {share['ci_high']:.1%}): {read['words']}")
    for name, tab in ask(room, "GET", place)["tabs"].items():
        print(f"{name}: {tab['num_cells']} cells, {tab['num_waiting']} wait for review")


def ask(room: httpx.Client, method: str, place: str, **more: object) -> dict:
    """The answer; an error ends the program in the room's own words."""
    answer = room.request(method, place, **more)
    if answer.is_error:
        error = answer.json()["error"]
        raise SystemExit(f"{error['status']}: {error['message']}. {error['hint']}")
    return answer.json()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
