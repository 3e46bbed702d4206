"""Reading the images of a case: a table of jobs, and a worker that takes them one after another.

A job has no memory of its own: what is to be read are the images of the case without a cell, and its
photographs that nobody has looked through. What is cut out of a photograph becomes images, all in one
transaction with the word that it was looked through. A worker that dies leaves what it had committed; the
next one goes on behind it. A room has one worker, so what is held when it begins is held by a dead one; a
worker that only hangs loses its job when its hold ends.
"""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta
from threading import Event, Thread

import numpy as np
import polars as pl
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, joinedload

from leukoscope.cells.scale import CNMC_MICROMETRES_PER_PIXEL
from leukoscope.cells.segmentation.found import NOT_A_LYMPHOID_CELL, NOT_A_SINGLE_CELL
from leukoscope.cohort.layouts.cnmc2019 import parse_name
from leukoscope.cohort.smears import SmearSettings
from leukoscope.errors import LeukoscopeError
from leukoscope.inference.parts import CellInput
from leukoscope.review.audit import record
from leukoscope.review.services.bundles import Bundles
from leukoscope.review.services.cases import settle
from leukoscope.review.services.cuts import cuts_by_image, note, origin_of
from leukoscope.review.services.gallery import THUMBNAILS, thumbnail
from leukoscope.review.services.looking import Looked, Looker
from leukoscope.review.services.photographs import others_of
from leukoscope.review.services.places import Places
from leukoscope.review.store.database import Database
from leukoscope.review.store.derived import Derived
from leukoscope.review.store.images import ImageStore
from leukoscope.review.store.tables import Case, Cell, Cut, Image, Job, Photograph, utc_now

log = logging.getLogger(__name__)

HELD_FOR = timedelta(seconds=60)
HELD_FOR_PHOTOGRAPH = timedelta(minutes=30)
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
    found.num_photographs = found.num_photographs_done + _num_unseen(session, case_id)
    session.flush()
    return found


def unread(session: Session, case_id: int) -> list[Image]:
    """Images of cells that were taken and have no cell yet, in the order in which they came."""
    read = select(Cell.image_id).where(Cell.case_id == case_id)
    taken = select(Image).where(Image.case_id == case_id, Image.stored_sha256.is_not(None))
    cells = taken.where(Image.kind != "photograph", Image.image_id.not_in(read))
    return list(session.scalars(cells.order_by(Image.image_id)))


def first_unseen(session: Session, case_id: int) -> Photograph | None:
    """The first photograph of a case that nobody has looked through, with its image."""
    unseen = select(Photograph).where(Photograph.case_id == case_id, Photograph.read_at.is_(None))
    first = unseen.order_by(Photograph.photograph_id).limit(1)
    return session.scalars(first.options(joinedload(Photograph.image))).first()


def _num_unseen(session: Session, case_id: int) -> int:
    unseen = select(func.count()).select_from(Photograph)
    mine = unseen.where(Photograph.case_id == case_id, Photograph.read_at.is_(None))
    return session.scalar(mine) or 0


def num_left(session: Session, case_id: int) -> int:
    """How many files a job that failed has left: images of cells without one, photographs not looked through.

    Nothing where none failed last, without counting: this is asked at every step.
    """
    last = select(Job.state).where(Job.case_id == case_id).order_by(Job.job_id.desc()).limit(1)
    if session.scalar(last) != "failed":
        return 0
    return len(unread(session, case_id)) + _num_unseen(session, case_id)


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
        self._looker = Looker(images, Places(images, derived) if derived is not None else None)
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
            if job.num_attempts >= MOST_ATTEMPTS and not _give_up_photograph(session, job):
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
                cuts = cuts_by_image(session, images)
                photograph = None if images else first_unseen(session, case.case_id)
            if job.holder != self._name or job.state != "running":
                return
            if images:
                goes_on = self._keep(job_id, images, cuts, self._read(case.bundle_id, images, cuts))
            elif photograph is not None:
                goes_on = self._look_through(job_id, case, photograph)
            else:
                self._finish(job_id, "done")
                return
            if not goes_on:
                return
        self._let_go(job_id)

    def _look_through(self, job_id: int, case: Case, photograph: Photograph) -> bool:
        """Find and cut out the cells of a photograph; ``False`` where another worker has taken over."""
        with self._database.read() as session:
            others = others_of(session, photograph)
        target = self._bundles.info(case.bundle_id).micrometres_per_pixel
        settings = SmearSettings(
            **photograph.settings | {"target_pixel_size": target or CNMC_MICROMETRES_PER_PIXEL}
        )
        self._hold_longer(job_id)
        looked = self._looker.look(photograph.image.stored_sha256 or "", settings, others)
        return self._keep_cuts(job_id, photograph.photograph_id, looked)

    def _hold_longer(self, job_id: int) -> None:
        """A large photograph takes minutes."""
        with self._database.write() as session:
            mine = (Job.job_id == job_id) & (Job.holder == self._name)
            session.execute(update(Job).where(mine).values(held_until=utc_now() + HELD_FOR_PHOTOGRAPH))

    def _keep_cuts(self, job_id: int, photograph_id: int, looked: Looked) -> bool:
        """Write down all that was found in a photograph at once: nothing of it twice, nothing lost."""
        with self._database.write() as session:
            job = session.get_one(Job, job_id, with_for_update=True)
            if job.holder != self._name or job.state != "running":
                return False
            photograph = session.get_one(Photograph, photograph_id, with_for_update=True)
            note(session, photograph, looked)
            job.num_photographs_done += 1
            job.num_photographs = max(job.num_photographs, job.num_photographs_done)
            job.num_all += len(looked.cuts)
            job.num_attempts = 0
            job.held_until = utc_now() + HELD_FOR
            return True

    def _read(self, bundle_id: str, images: list[Image], cuts: dict[int, Cut]) -> pl.DataFrame:
        cells = [self._input(image, cuts.get(image.image_id)) for image in images]
        return pl.concat(self._bundles.predictor(bundle_id).rows(cells, of_photographs=bool(cuts)))

    def _input(self, image: Image, cut: Cut | None) -> CellInput:
        sha256 = image.stored_sha256 or ""

        def read() -> np.ndarray:
            pixels = self._images.pixels(sha256)
            if self._derived is not None:
                self._derived.get(THUMBNAILS, sha256, lambda: thumbnail(pixels))
            return pixels

        return CellInput(str(image.image_id), image.name, read, origin=origin_of(cut) if cut else None)

    def _keep(self, job_id: int, images: list[Image], cuts: dict[int, Cut], rows: pl.DataFrame) -> bool:
        """Write a chunk's cells; ``False`` where another worker has taken over."""
        with self._database.write() as session:
            job = session.get_one(Job, job_id, with_for_update=True)
            if job.holder != self._name or job.state != "running":
                return False
            for image, row in zip(images, rows.fill_nan(None).to_dicts(), strict=True):
                session.add(_cell(image, cuts.get(image.image_id), row))
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
            told = {"num_photographs": job.num_photographs_done} if job.num_photographs_done else {}
            record(
                session,
                "system",
                f"reading {state}",
                job.case_id,
                num_cells=job.num_done,
                error=error,
                **told,
            )

    def _let_go(self, job_id: int) -> None:
        """Leave an unfinished job to whoever comes next."""
        with self._database.write() as session:
            mine = (Job.job_id == job_id) & (Job.holder == self._name)
            handed_back = {"state": "queued", "holder": None, "num_attempts": 0}
            session.execute(update(Job).where(mine).values(handed_back))


def _give_up_photograph(session: Session, job: Job) -> bool:
    """Where it is a photograph that ends the process, list it as such; the job goes on behind it."""
    photograph = None if unread(session, job.case_id) else first_unseen(session, job.case_id)
    if photograph is None:
        return False
    photograph.read_at = utc_now()
    photograph.problem = (
        f"the process that looked through it ended {MOST_ATTEMPTS} times: "
        "it may need more memory than there is"
    )
    job.num_photographs_done += 1
    job.num_attempts = 0
    return True


def _cell(image: Image, cut: Cut | None, row: dict[str, object]) -> Cell:
    named = parse_name(image.name)
    decision, reason = str(row["decision"]), row["reason"]
    return Cell(
        case_id=image.case_id,
        image_id=image.image_id,
        position=image.image_id,
        photograph=cut.photograph.name if cut else named.photograph_id if named else "",
        model_decision=decision,
        decision=decision,
        reason=reason,
        apart=_apart(reason),
        blast_probability=row["blast_probability"],
        row=row,
    )


def _apart(reason: object) -> str:
    """Whether a cell is counted by itself, by the reason why it is indeterminate."""
    kinds = {NOT_A_LYMPHOID_CELL: "not lymphoid", NOT_A_SINGLE_CELL: "not single"}
    return kinds.get(str(reason).partition(":")[0], "")
