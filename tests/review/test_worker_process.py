"""Who reads the cells: stopped, killed and started again, it leaves no job behind."""

from __future__ import annotations

import os
import signal
import time

import pytest
from tests.review.conftest import new_case, upload

from leukoscope.review.room import Room
from leukoscope.review.services.gallery import THUMBNAILS, thumbnail
from leukoscope.review.services.jobs import MOST_ATTEMPTS, Worker, enqueue, take_up_again, unread
from leukoscope.review.settings import ServerSettings
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.tables import Job
from leukoscope.review.worker_process import WorkerProcess

DEADLINE = 120


def until(holds) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def jobs(database) -> list[tuple[str, int]]:
    with database.read() as session:
        return [(job.state, job.num_attempts) for job in session.query(Job).order_by(Job.job_id)]


def new_worker(room) -> Worker:
    return Worker(room.database, room.bundles, room.images)


def test_stops_do_not_use_a_job_up(room, cells):
    upload(room, new_case(room), cells)
    for _ in range(MOST_ATTEMPTS + 2):
        stopped = new_worker(room)
        stopped.stop()
        assert stopped.work_once()
        assert jobs(room.database) == [("queued", 0)]
    assert new_worker(room).work_once()
    assert jobs(room.database) == [("done", 0)]


def test_a_job_that_ends_its_worker_again_and_again_is_given_up(room, cells):
    upload(room, new_case(room), cells)
    for _ in range(MOST_ATTEMPTS):
        assert new_worker(room)._take() is not None  # and dies
        with room.database.write() as session:
            take_up_again(session)
    assert new_worker(room)._take() is None
    assert [state for state, _ in jobs(room.database)] == ["failed"]


def test_what_a_dead_worker_held_is_taken_at_once(room, cells):
    upload(room, new_case(room), cells)
    assert new_worker(room)._take() is not None  # and dies, its hold still young
    living = new_worker(room)
    living.start()
    until(lambda: jobs(room.database) == [("done", 0)])
    living.stop()


def test_a_job_to_which_files_are_being_added_is_not_finished_without_them(room, cells):
    case_id = new_case(room)
    upload(room, case_id, cells[:6])
    if room.database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with room.database.write() as session:
        enqueue(session, case_id)
        assert not new_worker(room).work_once(), "it is locked by who adds to it"
    assert new_worker(room).work_once()
    with room.database.read() as session:
        assert unread(session, case_id) == []


def test_thumbnails_are_made_while_cells_are_read(room, cells, tmp_path):
    case_id, derived = new_case(room), Derived(tmp_path / "derived")
    images = upload(room, case_id, cells)
    assert Worker(room.database, room.bundles, room.images, derived).work_once()
    for sha256 in {image.stored_sha256 for image in images}:
        made = derived.get(THUMBNAILS, sha256, lambda: pytest.fail("it is not there yet"))
        assert made == thumbnail(room.images.pixels(sha256))


def test_a_process_that_was_killed_is_replaced_and_the_job_goes_on(tmp_path, tiny_bundle):
    settings = ServerSettings(data_dir=tmp_path / "room")
    room = Room(settings, tiny_bundle)
    process = WorkerProcess(settings)
    process.start()
    first = process._process
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: process._process is not first)
    process.stop()
    assert process._process.poll() is not None
    room.close()
