"""Reading the images of a case: a table of jobs, and a worker that takes them one after another.

A job has no memory of its own: what is to be read are the images of the case without a cell. A worker that
dies leaves the cells that it had committed; the next one goes on behind them. A room has one worker, so what
is held when it begins is held by a dead one; a worker that only hangs loses its job when its hold ends.
"""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta
from threading import Event, Thread

import numpy as np
import polars as pl
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from leukoscope.cohort.layouts.cnmc2019 import parse_name
from leukoscope.errors import LeukoscopeError
from leukoscope.inference.parts import CellInput
from leukoscope.review.audit import record
from leukoscope.review.services.bundles import Bundles
from leukoscope.review.services.cases import settle
from leukoscope.review.services.gallery import THUMBNAILS, thumbnail
from leukoscope.review.store.database import Database
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.images import ImageStore
from leukoscope.review.store.tables import Case, Cell, Image, Job, utc_now

log = logging.getLogger(__name__)

HELD_FOR = timedelta(seconds=60)
MOST_ATTEMPTS = 5
"""Without a chunk read: then it is the job that ends its workers."""

CHUNK = 64
"""Cells between two commits: what a kill costs at most."""

WAIT_SECONDS = 0.5


def enqueue(session: Session, case_id: int) -> Job:
    """The waiting job of a case: the one that is there, or a new one."""
    # Locked, so that no worker takes it and is done with it before the images that it is to read are there.
    waiting = select(Job).where(Job.case_id == case_id, Job.state == "queued").with_for_update()
    found = session.scalars(waiting).first()
    if found is None:
        found = Job(case_id=case_id)
        session.add(found)
        session.flush()
    found.num_all = found.num_done + len(unread(session, case_id))
    session.flush()
    return found


def unread(session: Session, case_id: int) -> list[Image]:
    """Images of a case that were taken and have no cell yet, in the order in which they came."""
    read = select(Cell.image_id).where(Cell.case_id == case_id)
    taken = select(Image).where(Image.case_id == case_id, Image.stored_sha256.is_not(None))
    return list(session.scalars(taken.where(Image.image_id.not_in(read)).order_by(Image.image_id)))


def jobs_of(session: Session, case_id: int) -> list[Job]:
    """The jobs of a case, the newest first."""
    return list(session.scalars(select(Job).where(Job.case_id == case_id).order_by(Job.job_id.desc())))


def take_up_again(session: Session) -> None:
    """Put jobs whose worker is gone back in the line; only for the one worker of a room, before it begins."""
    session.execute(update(Job).where(Job.state == "running").values(state="queued", holder=None))


class Worker:
    """Takes jobs until it is stopped, on a thread of its own or on the caller's.

    Args:
        database: where jobs wait.
        bundles: to read with.
        images: where pixels lie.
        derived: where thumbnails go, made while the pixels are at hand; ``None`` leaves them to the gallery.
    """

    def __init__(
        self, database: Database, bundles: Bundles, images: ImageStore, derived: Derived | None = None
    ) -> None:
        self._database, self._bundles, self._images, self._derived = database, bundles, images, derived
        self._name, self._stop, self._called = uuid.uuid4().hex, Event(), Event()
        self._thread = Thread(target=self.run, name="leukoscope-worker", daemon=True)

    def start(self) -> None:
        """Begin, on a thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it has begun, and works or waits for work."""
        return self._thread.is_alive()

    def call(self) -> None:
        """Say that there may be a job, so that nobody waits for the next look."""
        self._called.set()

    def stop(self, *, wait: bool = True) -> None:
        """End after the chunk that is being read."""
        self._stop.set()
        self._called.set()
        if wait and self._thread.is_alive():
            self._thread.join()

    def run(self) -> None:
        """Take jobs until :meth:`stop` is called; first those that a worker before this one left."""
        is_first = True
        while not self._stop.is_set():
            try:
                if is_first:
                    with self._database.write() as session:
                        take_up_again(session)
                    is_first = False
                if not self.work_once():
                    self._called.wait(WAIT_SECONDS)
                    self._called.clear()
            except Exception:  # the database may be away for a while; the room goes on
                log.exception("the worker could not work")
                self._stop.wait(WAIT_SECONDS)

    def work_once(self) -> bool:
        """Take a job and work on it until it is done, failed or stopped; ``False`` where none waits."""
        job_id = self._take()
        if job_id is None:
            return False
        try:
            self._work(job_id)
        except LeukoscopeError as error:
            self._finish(job_id, "failed", error.message)
        return True

    def _take(self) -> int | None:
        """Hold the oldest job that waits, or whose holder has not been heard of for a while."""
        with self._database.write() as session:
            lost = (Job.state == "running") & (Job.held_until < utc_now())
            free = select(Job).where(or_(Job.state == "queued", lost)).order_by(Job.job_id).limit(1)
            job = session.scalars(free.with_for_update(skip_locked=True)).first()
            if job is None:
                return None
            if job.num_attempts >= MOST_ATTEMPTS:
                job.state, job.finished_at = "failed", utc_now()
                job.error = f"was begun {MOST_ATTEMPTS} times, and ended its process each time"
                settle(session, session.get_one(Case, job.case_id))
                return None
            job.state, job.holder, job.held_until = "running", self._name, utc_now() + HELD_FOR
            job.num_attempts += 1
            job.started_at = job.started_at or utc_now()
            return job.job_id

    def _work(self, job_id: int) -> None:
        while not self._stop.is_set():
            with self._database.read() as session:
                job = session.get_one(Job, job_id)
                case = session.get_one(Case, job.case_id)
                images = unread(session, case.case_id)[:CHUNK]
            if job.holder != self._name or job.state != "running":
                return
            if not images:
                self._finish(job_id, "done")
                return
            rows = self._read(case.bundle_id, images)
            if not self._keep(job_id, images, rows):
                return
        self._let_go(job_id)

    def _read(self, bundle_id: str, images: list[Image]) -> pl.DataFrame:
        cells = [self._input(image) for image in images]
        return pl.concat(self._bundles.predictor(bundle_id).rows(cells))

    def _input(self, image: Image) -> CellInput:
        sha256 = image.stored_sha256 or ""

        def read() -> np.ndarray:
            pixels = self._images.pixels(sha256)
            if self._derived is not None:
                self._derived.get(THUMBNAILS, sha256, lambda: thumbnail(pixels))
            return pixels

        return CellInput(str(image.image_id), image.name, read)

    def _keep(self, job_id: int, images: list[Image], rows: pl.DataFrame) -> bool:
        """Write a chunk's cells; ``False`` where another worker has taken over."""
        with self._database.write() as session:
            job = session.get_one(Job, job_id, with_for_update=True)
            if job.holder != self._name or job.state != "running":
                return False
            for image, row in zip(images, rows.fill_nan(None).to_dicts(), strict=True):
                session.add(_cell(image, row))
            job.num_done += len(images)
            job.num_attempts = 0
            job.held_until = utc_now() + HELD_FOR
            return True

    def _finish(self, job_id: int, state: str, error: str | None = None) -> None:
        with self._database.write() as session:
            job = session.get_one(Job, job_id, with_for_update=True)
            if job.holder != self._name:
                return
            job.state, job.error, job.finished_at, job.holder = state, error, utc_now(), None
            session.flush()
            settle(session, session.get_one(Case, job.case_id, with_for_update=True))
            record(session, "system", f"reading {state}", job.case_id, num_cells=job.num_done, error=error)

    def _let_go(self, job_id: int) -> None:
        """Leave an unfinished job to whoever comes next."""
        with self._database.write() as session:
            mine = (Job.job_id == job_id) & (Job.holder == self._name)
            handed_back = {"state": "queued", "holder": None, "num_attempts": 0}
            session.execute(update(Job).where(mine).values(handed_back))


def _cell(image: Image, row: dict[str, object]) -> Cell:
    named = parse_name(image.name)
    decision = str(row["decision"])
    probability = row["blast_probability"]
    return Cell(
        case_id=image.case_id,
        image_id=image.image_id,
        position=image.image_id,
        photograph=named.photograph_id if named else "",
        model_decision=decision,
        decision=decision,
        reason=row["reason"],
        blast_probability=probability,
        row=row,
    )
