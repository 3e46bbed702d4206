"""The server is killed amid uploads, jobs and reviews: what it had acknowledged is there afterwards."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from threading import Event, Lock, Thread

import httpx
import pytest
from sqlalchemy import func, select
from tests.review.conftest import new_url
from tests.review.served import START_SECONDS, Person, Served
from tests.review.test_photographs import field

from leukoscope.review.audit import verify
from leukoscope.review.services.jobs import CHUNK
from leukoscope.review.store.database import Database
from leukoscope.review.store.images import ImageStore
from leukoscope.review.store.tables import DECISIONS, Case, Cell, Cut, Decision, Image, Job, Photograph

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture
def place(request, tmp_path):
    """A data folder, and words that name its database."""
    url, drop = new_url(request.param, tmp_path)
    yield tmp_path / "room", url
    drop()


def variants(cells) -> Iterator[tuple[str, bytes]]:
    """Different files without end, of few cells: bytes behind a BMP's pixels are nobody's."""
    for place in count():
        yield f"cell_{place}.bmp", cells[place % len(cells)][1] + b"%d" % place


class Busy:
    """People at work, who note what was acknowledged; each ends at the first answer that does not come."""

    def __init__(self, cells) -> None:
        self.files, self._lock = variants(cells), Lock()
        self.people = [Person("http://127.0.0.1") for _ in range(4)]
        self.received: dict[str, set[str]] = {}
        self.actions: dict[str, set[int]] = {}
        self._stop = Event()

    def uploads(self, person: Person, rng: random.Random) -> None:
        """Make a case, and send it files."""
        case = person.make_case(f"U-{rng.randrange(10**9)}")
        self.received[case] = set()
        while not self._stop.is_set():
            with self._lock:
                some = list(islice(self.files, rng.randint(1, 8)))
            taken = person.upload(case, some)
            self.received[case] |= {file["name"] for file in taken}
            assert not [file for file in taken if file["reason"]]

    def reviews(self, person: Person, rng: random.Random, case: str, cell_ids: list[int]) -> None:
        """Call cells, and take some back."""
        while not self._stop.is_set():
            some = rng.sample(cell_ids, rng.randint(1, 4))
            data = {"decision": rng.choice(["blast", "normal", "rejected"]), "cell_ids": some}
            answer = person.post(f"{case}/decisions", data=data)
            assert answer.status_code == 200, answer.text
            self.actions[answer.json()["action_id"]] = set(some)
            if rng.random() < 0.2:
                assert person.post(f"{case}/undo").status_code == 200

    def until_killed(self, server: Served, rng: random.Random, case: str, cell_ids: list[int]) -> None:
        """Work, and kill the server at some moment of it; who was signed in before stays so."""
        failed: list[BaseException] = []

        def work(person: Person, what, *more: object) -> None:
            try:
                what(person, random.Random(rng.random()), *more)
            except httpx.HTTPError:
                pass  # it was killed
            except BaseException as error:
                failed.append(error)

        for person in self.people:
            person.client.base_url = server.address
            if not person.client.cookies:
                person.sign_in()
        uploads, reviews = (self.uploads,), (self.reviews, case, cell_ids)
        whats = zip(self.people, [uploads, reviews] * 2, strict=True)
        works = [Thread(target=work, args=(person, *what)) for person, what in whats]
        for one in works:
            one.start()
        time.sleep(rng.uniform(0.2, 2.5))
        server.end(signal.SIGKILL)
        self._stop.set()
        for one in works:
            one.join()
        self._stop.clear()
        assert not failed, failed


def begin(server: Served, cells) -> tuple[str, list[int]]:
    """The first account, and a case whose cells were read: its address, and its cells."""
    person = Person(server.address)
    person.join(server.link)
    case = person.make_case()
    person.upload(case, cells)
    return case, ready(person, case, len(cells))


def ready(person: Person, case: str, num: int) -> list[int]:
    """Wait until all cells of a case were read; their ids, as its gallery asks for them."""
    deadline = time.monotonic() + START_SECONDS
    while 'data-state="to review"' not in person.client.get(case).text:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    orders = [person.client.get(f"{case}/order", params={"tab": tab}).json() for tab in DECISIONS]
    found = [cell_id for order in orders for cell_id in order["cells"]]
    assert len(found) == num
    return found


def kill_again_and_again(place, cells, bundle, *, kills: int, seed: int) -> None:
    folder, url = place
    rng, busy = random.Random(seed), Busy(cells)
    with Served(folder, bundle, "--database", url) as server:
        case, cell_ids = begin(server, cells)
        busy.until_killed(server, rng, case, cell_ids)
    for _ in range(kills - 1):
        with Served(folder, bundle, "--database", url) as server:
            busy.until_killed(server, rng, case, cell_ids)
    with Served(folder, bundle, "--database", url):
        all_read(url)
    nothing_is_lost(folder, url, busy)


def all_read(url: str) -> None:
    """Wait until no case is being read."""
    database, deadline = Database(url), time.monotonic() + 10 * START_SECONDS
    open_jobs = select(func.count()).select_from(Job).where(Job.state.in_(("queued", "running")))
    while time.monotonic() < deadline:
        with database.read() as session:
            if not session.scalar(open_jobs):
                break
        time.sleep(0.2)
    with database.read() as session:
        assert set(session.scalars(select(Job.state))) == {"done"}
    database.close()


def nothing_is_lost(folder, url: str, busy: Busy) -> None:
    database, images = Database(url), ImageStore(folder / "images")
    with database.read() as session:
        assert verify(session) == []
        assert sum(map(len, busy.received.values())) > 0 and busy.actions
        for case, names in busy.received.items():
            case_id = int(case.rpartition("/")[2])
            there = list(session.scalars(select(Image).where(Image.case_id == case_id)))
            assert names <= {image.name for image in there}
            for image in there:
                images.pixels(image.stored_sha256)  # raises where the file is not the one of its hash
            read = Counter(session.scalars(select(Cell.image_id).where(Cell.case_id == case_id)))
            assert read == Counter(image.image_id for image in there), "each cell once"
        for action_id, cell_ids in busy.actions.items():
            steps = session.scalars(select(Decision.cell_id).where(Decision.action_id == action_id))
            assert set(steps) == cell_ids
        assert session.scalar(select(func.count()).where(Case.state == "running")) == 0
    database.close()


@pytest.mark.parametrize("place", BOTH, indirect=True)
def test_three_kills_lose_nothing(place, cells, tiny_bundle):
    kill_again_and_again(place, cells, tiny_bundle, kills=3, seed=7)


@pytest.mark.slow
@pytest.mark.parametrize("place", BOTH, indirect=True)
def test_twenty_kills_lose_nothing(place, cells, tiny_bundle):
    kill_again_and_again(place, cells, tiny_bundle, kills=20, seed=20)


ENDS = [
    ("sqlite", signal.SIGKILL),
    pytest.param("sqlite", signal.SIGTERM, marks=pytest.mark.slow),
    pytest.param("postgres", signal.SIGKILL, marks=[pytest.mark.slow, pytest.mark.postgres]),
]


@pytest.mark.parametrize(("place", "by"), ENDS, indirect=["place"])
def test_a_restart_in_mid_job_reads_each_cell_once_and_makes_nobody_wait(place, by, cells, tiny_bundle):
    folder, url = place
    num = 3 * CHUNK
    with Served(folder, tiny_bundle, "--database", url) as server:
        person = Person(server.address)
        person.join(server.link)
        case_id = int(person.make_case().rpartition("/")[2])
        files = variants(cells)
        for _ in range(0, num, 48):
            person.upload(f"/cases/{case_id}", list(islice(files, 48)))
        server.end(by)
    database = Database(url)
    with database.read() as session:
        left = session.scalar(select(func.count()).select_from(Job).where(Job.finished_at.is_(None)))
    assert left, "it was to be stopped before it had read all"
    with Served(folder, tiny_bundle, "--database", url):
        all_read(url)
    with database.read() as session:
        read = Counter(session.scalars(select(Cell.image_id)))
        assert len(read) == num and set(read.values()) == {1}
        assert verify(session) == []
    database.close()


@pytest.mark.parametrize("place", BOTH, indirect=True)
def test_a_kill_amid_photographs_leaves_exactly_their_cells(place, tiny_bundle):
    folder, url = place
    files = [(f"field_{seed}.png", field(seed)) for seed in range(4)]
    with Served(folder, tiny_bundle, "--database", url) as server:
        person = Person(server.address)
        person.join(server.link)
        person.upload(person.make_case(), files, kind="photographs")
        database, deadline = Database(url), time.monotonic() + START_SECONDS
        while not num_looked_through(database):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        server.end(signal.SIGKILL)
    assert num_looked_through(database) < len(files), "it was to be killed before it had read all"
    with Served(folder, tiny_bundle, "--database", url):
        all_read(url)
    with database.read() as session:
        photographs = list(session.scalars(select(Photograph)))
        assert all(one.num_cells and one.problem is None for one in photographs)
        for one in photographs:
            cuts = select(Cut.image_id, Cut.number).where(Cut.photograph_id == one.photograph_id)
            numbers = dict(session.execute(cuts).all())
            assert sorted(numbers.values()) == list(range(1, one.num_cells + 1))
            read = Counter(session.scalars(select(Cell.image_id).where(Cell.photograph == one.name)))
            assert read == Counter(numbers.keys()), "each cell once"
        assert verify(session) == []
    database.close()


def num_looked_through(database: Database) -> int:
    with database.read() as session:
        looked = select(func.count()).select_from(Photograph).where(Photograph.read_at.is_not(None))
        return session.scalar(looked)
