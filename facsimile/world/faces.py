"""Render the faces of a set as tables in the face schema."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np
import pandas as pd
import pyarrow as pa
from threadpoolctl import threadpool_limits

from facsimile.faces.aus import ACTIVE_THRESHOLD, AGE_YEARS, AUS, NUISANCES
from facsimile.faces.origins import REAL
from facsimile.faces.tables import FACE_SCHEMA, conform, image_structs, write_shards
from facsimile.world.population import population
from facsimile.world.sets import SETS

if TYPE_CHECKING:
    from facsimile.world.render import Renderer

# Starting a worker takes as long as rendering this many faces.
MIN_FACES_FOR_WORKERS = 1000


def iter_faces(
    name: str, faces: int, size: int, seed: int, workers: int = 1, batch_size: int = 256
) -> Iterator[pa.Table]:
    """Draw and render the first `faces` faces of a set.

    Args:
        name: a key of ``SETS``.
        faces: number of faces.
        size: side of the square images, pixels.
        seed: seed of the world.
        workers: rendering processes, used for many faces; results do not depend on it.
        batch_size: rows per table.

    Yields:
        Tables in ``FACE_SCHEMA``, in the order of ``population``; columns that the set does not
        annotate are null.

    Raises:
        FacsimileError: unknown set.
    """
    people = population(name, faces, seed)
    jobs = (
        (name, people.iloc[start : start + batch_size].reset_index(drop=True), size, seed)
        for start in range(0, faces, batch_size)
    )
    if workers == 1 or faces < MIN_FACES_FOR_WORKERS:
        yield from (_render(*job) for job in jobs)
        return
    # Spawned, because forking a process with CUDA or BLAS threads can deadlock.
    with ProcessPoolExecutor(workers, get_context("spawn"), _single_threaded) as pool:
        # Bounded, so that rendered batches do not pile up behind a slow consumer.
        pending = deque(pool.submit(_render, *job) for job in islice(jobs, 2 * workers))
        try:
            while pending:
                table = pending.popleft().result()
                pending.extend(pool.submit(_render, *job) for job in islice(jobs, 1))
                yield table
        finally:
            pool.shutdown(cancel_futures=True)


def write_faces(path: Path, name: str, faces: int, size: int, seed: int, workers: int) -> None:
    """Write the face table of a set; arguments as for `iter_faces`."""
    write_shards(iter_faces(name, faces, size, seed, workers), path, FACE_SCHEMA)


def face_rows(name: str, people: pd.DataFrame) -> pd.DataFrame:
    """Annotations that a set provides for a population: ``FACE_SCHEMA`` without the image.

    Args:
        name: a key of ``SETS``.
        people: rows of ``population``.
    """
    world_set = SETS[name]
    rows = people[["sample_id", "subject_id", "split"]].assign(dataset=name, origin=REAL)
    rows["au_presence_only"] = world_set.presence_only
    for au in AUS:
        values = people[au] >= ACTIVE_THRESHOLD if world_set.presence_only else people[au]
        rows[au] = values.astype(np.float32) if au in world_set.aus else np.float32("nan")
    youngest, oldest = AGE_YEARS
    attributes = people.assign(age=(people["age"] - youngest) / (oldest - youngest))
    for nuisance in NUISANCES:
        values = attributes[nuisance].astype(np.float32)
        rows[nuisance] = values if nuisance in world_set.nuisances else np.float32("nan")
    return rows


@lru_cache(maxsize=1)
def _renderer(size: int) -> "Renderer":
    """The renderer of this process, cached because it loads the assets."""
    # Imported late: only rendering needs the compiled kernels and assets.
    from facsimile.world.render import Renderer

    return Renderer(size)


def _render(name: str, people: pd.DataFrame, size: int, seed: int) -> pa.Table:
    rows = face_rows(name, people)
    rows["image"] = image_structs(_renderer(size).render(people, seed), rows["sample_id"])
    return conform(rows, FACE_SCHEMA)


def _single_threaded() -> None:
    """Limit a worker to one thread; the workers together use all cores."""
    numba.set_num_threads(1)
    threadpool_limits(1)
