"""The Python lines, and the command, that make the same picture as the studio."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from facsimile.faces.aus import AUS
from facsimile.generator import InferenceOptions

_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class TableFace:
    """A face of a face table.

    Attributes:
        table: its path.
        sample_id: its id.
    """

    table: str
    sample_id: str

    @property
    def file(self) -> str:
        """Name of a PNG of the face."""
        return f"{_NAME.sub('-', self.sample_id)}.png"

    def imports(self) -> list[str]:
        return ["from facsimile.faces.tables import decode_images, read_faces"]

    def lines(self, name: str, size: int) -> list[str]:
        """Lines that assign its picture, uint8 (1, H, W, 3), to the variable `name`."""
        return [
            f"faces = read_faces({_text(self.table)})",
            f'{name} = decode_images(faces[faces["sample_id"] == {_text(self.sample_id)}])',
        ]


@dataclass(frozen=True)
class PictureFile:
    """A picture from a file.

    Attributes:
        path: the name under which it was uploaded.
        crop: whether it was cropped to its centre.
        landmarks: what aligned it, see `facsimile.datasets.Aligner`; empty if nothing did.
    """

    path: str
    crop: bool = False
    landmarks: str = ""

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.path

    def imports(self) -> list[str]:
        names = "Aligner, Preprocessing" if self.landmarks else "Preprocessing"
        return ["from pathlib import Path", f"from facsimile.datasets import {names}"]

    def lines(self, name: str, size: int) -> list[str]:
        """See `TableFace.lines`."""
        aligner = f", aligner=Aligner({_text(self.landmarks)})" if self.landmarks else ""
        prepare = f"Preprocessing({size}, crop={self.crop}{aligner}).prepare"
        return [f"{name} = {prepare}(Path({_text(self.path)}))[None]"]


@dataclass(frozen=True)
class SampledPerson:
    """A new person, see `tasks.helpers.new_people.PersonSampler`."""

    gender: str
    age_group: str
    seed: int

    @property
    def file(self) -> str:
        """Name of a PNG of the face."""
        return f"{self.gender}-{self.age_group}-{self.seed}.png"

    def imports(self) -> list[str]:
        return [
            "from tasks.helpers.new_people import PersonSampler",
            "from tasks.params import read_params",
        ]

    def lines(self, name: str, size: int) -> list[str]:
        """See `TableFace.lines`."""
        who = f"{_text(self.gender)}, {_text(self.age_group)}, seed={self.seed}"
        return [
            'people = PersonSampler(generator, read_params()["datasets"])',
            f"{name} = people.sample({who})[None]",
        ]


Origin = TableFace | PictureFile | SampledPerson


@dataclass(frozen=True)
class Recipe:
    """How an edited picture is made from a face.

    Paths are relative to the project folder.

    Attributes:
        face: the original.
        levels: AU → intensity to reach.
        reference: face whose expression is copied instead; None for `levels`.
        method: name of the editor; empty for that of the pipeline.
        editor, generator, reader: folders.
        options: options of the generator.
        device: torch device.
        size: H = W of the faces, pixels.
    """

    face: Origin
    levels: Mapping[str, float]
    reference: Origin | None
    method: str
    editor: str
    generator: str
    reader: str
    options: InferenceOptions
    device: str
    size: int

    def python(self) -> str:
        """A Python script that writes ``edited.png``, to be run in the project folder."""
        origins = [self.face] + ([self.reference] if self.reference else [])
        imports = {
            "from PIL import Image",
            "from facsimile.detection import AUEnsemble",
            "from facsimile.editing import load_editor, pictures",
            "from facsimile.generator import InferenceOptions, load_generator",
            *(line for origin in origins for line in origin.imports()),
        }
        if self._dtype:
            imports.add("import torch")
        device = _text(self.device)
        lines = [
            f"generator = load_generator({_text(self.generator)}, {device}, {self._options()})",
            f"editor = load_editor({_text(self.editor)})",
            f"reader = AUEnsemble.load({_text(self.reader)}, {device})",
            "",
            *self.face.lines("face", self.size),
            "opened = pictures.open_faces(face, generator, reader)",
        ]
        if self.reference:
            lines += [
                *self.reference.lines("reference", self.size),
                "like = pictures.open_faces(reference, generator, reader, editable=False)",
                "change = pictures.copy_expression(opened, like, editor)",
            ]
        else:
            levels = ", ".join(f'"{au}": {self.levels[au]:g}' for au in AUS if au in self.levels)
            lines += [
                f"target = pictures.target_levels({{{levels}}}, editor)",
                "change = pictures.set_levels(opened, target)",
            ]
        lines += [
            "edited = pictures.apply_change(opened, change, editor, generator)",
            'Image.fromarray(edited[0]).save("edited.png")',
        ]
        ordered = sorted(imports, key=lambda line: (_package(line), line))
        return "\n".join([*ordered, "", *lines, ""])

    @property
    def _dtype(self) -> str:
        """Data type of the networks; empty for the default."""
        name = str(self.options.dtype)
        return "" if name == "torch.float32" else name

    def _options(self) -> str:
        options = self.options
        values = [_text(options.solver), f"steps={options.steps}"]
        values.append(f"prior_steps={options.prior_steps}")
        if self._dtype:
            values.append(f"dtype={self._dtype}")
        return f"InferenceOptions({', '.join(values)})"

    def command(self) -> str:
        """The equivalent command; empty if there is none.

        `facsimile edit` takes levels in [0, 1], and changes at least one AU.
        """
        words = [self.face.file]
        if self.reference:
            words = ["transfer", *words, "--like", self.reference.file]
        elif self.levels and all(0 <= level <= 1 for level in self.levels.values()):
            words = ["edit", *words]
            for au in AUS:
                if au in self.levels:
                    words += ["--au", f"{au}={self.levels[au]:g}"]
        else:
            return ""
        if self.method:
            words += ["--method", self.method]
        pictures = [face for face in (self.face, self.reference) if isinstance(face, PictureFile)]
        if landmarks := next((face.landmarks for face in pictures if face.landmarks), ""):
            words += ["--align", landmarks]
        if any(face.crop for face in pictures):
            words.append("--crop")
        return shlex.join(["facsimile", *words, "-o", "edited.png"])


def safe_file_name(name: str) -> str:
    """The last part of an uploaded file's name, which a browser may send with its folder."""
    last = PurePath(name.replace("\\", "/")).name
    return "face.png" if last in ("", "..") else last


def _text(text: str) -> str:
    """A string as a Python literal in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _package(line: str) -> int:
    """Order of import blocks: standard library, then others, then this project."""
    words = line.split()[1]
    if words.startswith(("facsimile", "tasks")):
        return 2
    return 0 if words == "pathlib" else 1
