"""Generates labelled faces from a sentence, outside the pipeline."""

from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from facsimile.describing import DescribedFacesOperator, Describer, plan_described
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.faces.tables import decode_images
from facsimile.files import atomic_directory
from facsimile.language import understand
from facsimile.release import embed, packet
from facsimile.report.gallery import contact_sheet, gallery_rows
from tasks.helpers.generator_loading import load_generator
from tasks.params import PARAMS, read_params
from tasks.shared.artefacts import DESCRIBER
from tasks.shared.machine import find_device
from tasks.shared.stage import Compute

MIN_JACCARD = 0.5
"""Smallest agreement of the labels of a face with its prompt."""
_BATCH = 16
_TRIES = 3  # faces planned for each face that is asked for
_SHOWN = 24
_ACROSS = 6


@dataclass(frozen=True)
class GeneratedFaces:
    """What was written.

    Attributes:
        table: labels.csv; one row per face: image_path, subject_id, AUs, attributes, description.
        rejected: faces whose labels disagree with the prompt, which were left out.
    """

    table: pd.DataFrame
    rejected: int


class FaceGeneration:
    """The generator and describer of a project.

    Args:
        root: project folder.

    Raises:
        FacsimileError: there is no describer, or it belongs to another generator.
    """

    def __init__(self, root: Path) -> None:
        with chdir(root):
            sampling = read_params(PARAMS)["sampling"]
            device = find_device(None)
            generator = load_generator(Compute(device, _BATCH, 1), sampling)
            self.describer = Describer.load(DESCRIBER, device)
            self.operator = DescribedFacesOperator(generator, self.describer)

    def write(
        self,
        prompt: str,
        count: int,
        out: Path,
        seed: int,
        on_face: Callable[[], None] = lambda: None,
    ) -> GeneratedFaces:
        """Write pictures, labels.csv and sheet.png into a new folder.

        The table can be named under ``ingest.paths``, as any other dataset.

        Args:
            prompt: what the faces should show; see `facsimile.language.understand`.
            count: number of faces.
            out: folder, which must not exist.
            seed: seed of all draws.
            on_face: called after each face.

        Raises:
            FacsimileError: a word of the prompt is not understood, the folder exists, nobody in
                the identity bank is like that, or too few faces agree with the prompt.
        """
        if out.exists():
            raise FacsimileError(f"{out} exists already; name a new folder")
        plan = plan_described([understand(prompt)], _TRIES * count, self.describer, seed)
        kept: list[pd.Series] = []
        with atomic_directory(out) as folder:
            (folder / "images").mkdir()
            rejected = 0
            for face in self._faces(plan):
                if face["prompt_jaccard"] < MIN_JACCARD:
                    rejected += 1
                    continue
                face["image_path"] = f"images/{len(kept):05d}.png"
                self._write_picture(face, folder / face["image_path"])
                # Pictures are on disk now; only those of the sheet are kept.
                kept.append(face if len(kept) < _SHOWN else face.drop("image"))
                on_face()
                if len(kept) == count:
                    break
            else:
                raise FacsimileError(
                    f"only {len(kept)} of {len(plan)} faces agree with {prompt!r}; ask for fewer "
                    "AUs, or for AUs that do not oppose each other"
                )
            table = pd.DataFrame(kept)[
                ["image_path", "subject_id", *AUS, *NUISANCES, "description"]
            ]
            table.round(3).to_csv(folder / "labels.csv", index=False)
            sheet = _sheet(pd.DataFrame(kept[:_SHOWN]))
            Image.fromarray(sheet).save(folder / "sheet.png")
        return GeneratedFaces(table, rejected)

    def _faces(self, plan: pd.DataFrame) -> Iterator[pd.Series]:
        """Planned faces, generated batch by batch."""
        for start in range(0, len(plan), _BATCH):
            batch = self.operator(plan.iloc[start : start + _BATCH].reset_index(drop=True))
            yield from (face for _, face in batch.iterrows())

    def _write_picture(self, face: pd.Series, path: Path) -> None:
        """Write a PNG that says that it is synthetic and how it was made."""
        provenance = {
            "prompt": face["prompt"],
            "description": face["description"],
            "describer_md5": face["editor_md5"],
            "generator_md5": face["generator_md5"],
        }
        path.write_bytes(embed(face["image"]["bytes"], packet(path.name, None, provenance)))


def _sheet(faces: pd.DataFrame) -> np.ndarray:
    """Faces with their labels below."""
    captions = [
        " ".join(f"{au[2:]}:{face[au]:.1f}" for au in AUS if face[au] >= ACTIVE_THRESHOLD) or "none"
        for _, face in faces.iterrows()
    ]
    places = np.arange(len(faces))
    gallery = gallery_rows(
        "faces",
        [f"{row * _ACROSS + 1}" for row in places // _ACROSS],
        [f"{column + 1}" for column in places % _ACROSS],
        decode_images(faces),
        captions,
    )
    return contact_sheet(gallery.to_pandas(), "faces", scale=2, captions=True)
