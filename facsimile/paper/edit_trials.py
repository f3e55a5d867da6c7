"""Edits of neutral source faces by several editors, and readings of what comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from facsimile.detection.oracle import AUOracle
from facsimile.editing.base import Change, Editor, SourceFaces
from facsimile.editing.nuisance_readouts import NuisanceReadouts
from facsimile.faces.annotation import keep_readings
from facsimile.faces.tables import to_tensor, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.paper.edit_fidelity import READ


@dataclass(frozen=True)
class FaceReader:
    """Reads AUs, identity and nuisances from pictures.

    Attributes:
        oracle: reads AUs and identity.
        generator: encodes pictures for `readouts`.
        readouts: read nuisances from codes.
        aus: AUs to read; the readings of others are NaN.
    """

    oracle: AUOracle
    generator: Generator
    readouts: NuisanceReadouts
    aus: tuple[str, ...]

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AUs (N, 12) and identity embeddings (N, E) of uint8 images (N, H, W, 3)."""
        aus, embeddings = self.oracle.predict_with_embeddings(images)
        return keep_readings(aus, self.aus), embeddings

    def read_all(self, images: np.ndarray) -> pd.DataFrame:
        """AUs and nuisances of the images, N rows with the columns ``READ``."""
        z = self.generator.encode(to_tensor(images)).z.cpu().numpy()
        values = np.column_stack([self.read(images)[0], self.readouts.predict(z)])
        return pd.DataFrame(values, columns=list(READ))


class EditTrials:
    """Edits sources whose x_T is known.

    Args:
        generator: decodes the edits.
        editors: name → editor of codes of this generator.
        source_ids: ids of P neutral faces.
        codes: their codes with x_T.
    """

    def __init__(
        self,
        generator: Generator,
        editors: Mapping[str, Editor],
        source_ids: Sequence[str],
        codes: Codes,
    ) -> None:
        self.generator = generator
        self.editors = editors
        self._rows = pd.Index(source_ids)
        self._codes = codes

    def codes(self, source_ids: Sequence[str]) -> Codes:
        """Codes of the sources of N edits, on the generator's device."""
        return self._codes[self._rows.get_indexer(source_ids)].to(self.generator.device)

    def edit(self, editor: str, source_ids: Sequence[str], targets: np.ndarray) -> np.ndarray:
        """Edited pictures, uint8 (N, H, W, 3).

        Args:
            editor: key of `editors`. AUs that it cannot edit keep their level.
            source_ids: sources of N edits.
            targets: AUs to reach (N, 12); NaN leaves an AU unchanged.
        """
        codes = self.codes(source_ids)
        levels = keep_readings(targets, self.editors[editor].aus)
        change = Change.of_neutral(torch.from_numpy(levels.astype(np.float32)).to(codes.z.device))
        edited = self.editors[editor].edit(SourceFaces(codes), change, self.generator)
        return to_uint8(edited.images)

    def imitate(self, source_ids: Sequence[str], images: np.ndarray) -> np.ndarray:
        """Pictures decoded from the codes of others, with the x_T of the sources.

        Args:
            source_ids: N sources.
            images: uint8 (N, H, W, 3), one for each source.
        """
        z = self.generator.encode(to_tensor(images)).z
        codes = self.codes(source_ids)
        return to_uint8(self.generator.decode(codes.replace_z(z.to(codes.z.device))))
