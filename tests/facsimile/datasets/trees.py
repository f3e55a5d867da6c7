"""Small datasets on disk, in the layouts that adapters read, and what becomes of them."""

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from facsimile.datasets import (
    ADAPTERS,
    Preprocessing,
    Rejects,
    SubjectFold,
    recognise,
    require_faces,
)
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import FACE_SCHEMA

SIZE = 8

HEADER = "image_path,subject_id,split,AU04,AU12"
LINES = (
    "img/0.png,a,train,0,0.2",
    "img/1.png,a,train,0.5,",
    "img/2.png,b,val,1,0",
    "img/3.png,b,val,0,0",
    "img/4.png,c,test,0,1",
    "img/5.png,c,test,0.2,0",
)


def pixels(seed: int, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """uint8 (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def shade(level: int, side: int = SIZE) -> np.ndarray:
    """uint8 (side, side, 3) with this mean, and as much contrast as a picture needs."""
    image = np.full((side, side, 3), level - 6, np.uint8)
    image[side // 2 :] += 12
    return image


def write_image(path: Path, image: np.ndarray | Image.Image) -> Path:
    """Write a picture in the format that the suffix of `path` names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path)
    return path


def png(image: np.ndarray) -> bytes:
    """PNG bytes of one image."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_csv(folder: Path, lines: tuple[str, ...] = LINES, header: str = HEADER) -> Path:
    """``faces.csv`` and the images ``img/0.png`` … ``img/5.png`` beside it."""
    for seed in range(len(LINES)):
        write_image(folder / "img" / f"{seed}.png", pixels(seed))
    path = folder / "faces.csv"
    path.write_bytes("\n".join((header, *lines, "")).encode())
    return path


def write_disfa(root: Path, subjects: int = 3, frames: int = 4) -> Path:
    """DISFA's tree: AU12 has the intensities 0, 1, 2 …, the other AUs are 0."""
    for person in range(1, subjects + 1):
        subject = f"SN{person:03d}"
        labels = root / "ActionUnit_Labels" / subject
        labels.mkdir(parents=True)
        for au in AUS:
            lines = [f"{n},{(n - 1) % 6 if au == 'AU12' else 0}" for n in range(1, frames + 1)]
            (labels / f"{subject}_au{int(au[2:])}.txt").write_text("\r\n".join(lines) + "\r\n")
        for n in range(1, frames + 1):
            write_image(root / "Images" / subject / f"{n}.png", pixels(100 * person + n))
    return root


def write_video(path: Path, images: Sequence[np.ndarray], codec: str = "ffv1") -> Path:
    """A video of RGB images; ffv1 loses nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = images[0].shape[:2]
    formats = {"ffv1": "bgr0", "mjpeg": "yuvj420p"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=20, width=width, height=height)
        stream.pix_fmt = formats.get(codec, "yuv420p")
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_disfa_videos(root: Path, frames: int = 4, extra: int = 0) -> Path:
    """DISFA's tree as published: the same faces as `write_disfa`, and `extra` unlabelled ones."""
    write_disfa(root, frames=frames)
    for folder in sorted((root / "Images").iterdir()):
        person = int(folder.name[2:])
        images = [pixels(100 * person + n) for n in range(1, frames + extra + 1)]
        write_video(root / "Videos_LeftCamera" / f"LeftVideo{folder.name}_comp.avi", images)
    shutil.rmtree(root / "Images")
    return root


def write_disfa_plus(root: Path, subjects: int = 3, frames: int = 4) -> Path:
    """DISFA+'s tree: two sessions each; AU12 has the intensities 0, 1, 2 …, the other AUs are 0."""
    for person in range(1, subjects + 1):
        for number, session in enumerate(("A1_AU1_TrailNo_1", "Y_Happy_TrailNo_2")):
            folder = Path(f"SN{person:03d}") / session
            (root / "Labels" / folder).mkdir(parents=True)
            for au in AUS:
                lines = [f"{n:03d}.jpg     {n if au == 'AU12' else 0}" for n in range(frames)]
                file = root / "Labels" / folder / f"AU{int(au[2:])}.txt"
                file.write_text("\r\n".join([f"{session} {au}", "", *lines, ""]))
            for n in range(frames):
                face = shade(100 * number + 20 * person + n)
                write_image(root / "Images" / folder / f"{n:03d}.jpg", face)
    return root


def write_bp4d(root: Path, subjects: tuple[str, ...] = ("F001", "F002", "M001")) -> Path:
    """BP4D's tree: frames 3 to 6 of two tasks are coded; AU12 is 0, 1, 0, 1, AU15 unknown."""
    codes = {"12": "0101", "15": "9999"}
    for subject in subjects:
        for task in ("T1", "T2"):
            lines = [",".join(map(str, range(100)))]
            for n in range(4):
                values = [codes.get(str(au), "0000")[n] for au in range(1, 100)]
                lines.append(",".join([str(n + 3), *values]))
            file = root / "AUCoding" / "AU_OCC" / f"{subject}_{task}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\r\n".join([*lines, ""]))
            for n in range(1, 7):
                write_image(root / subject / task / f"{n:04d}.jpg", pixels(n))
    return root


def write_bp4d_intensities(root: Path) -> Path:
    """``AU_INT`` of `write_bp4d`: AU12 is 0, 3, unknown, 5; AU10 is there, too."""
    for file in list((root / "AUCoding" / "AU_OCC").iterdir()):
        for au in ("AU10", "AU12"):
            track = root / "AUCoding" / "AU_INT" / au / f"{file.stem}_{au}.csv"
            track.parent.mkdir(parents=True, exist_ok=True)
            track.write_text("3,0\n4,3\n5,9\n6,5\n")
    return root


def write_feafa(root: Path, sequences: int = 3, frames: int = 3) -> Path:
    """FEAFA's tree: movement m of frame n is (m + n) / 100, counted from 1."""
    for sequence in range(1, sequences + 1):
        folder = root / "FEAFA-A" / f"PV{sequence:03d}.output"
        for n in range(1, frames + 1):
            write_image(folder / f"{n:08d}.jpg", pixels(n))
            values = " ".join(f"{(m + n) / 100:.6f}" for m in range(1, 25))
            (folder / f"{n:08d}.auw").write_text(values + " \r\n")
    return root


CELEBA = (  # 5_o_Clock_Shadow, Eyeglasses, Goatee, Male, Mustache, No_Beard, Young; identity; split
    ("-1 -1 -1  1 -1  1  1", 2880, 0),
    (" 1  1 -1  1 -1 -1 -1", 2880, 0),
    ("-1 -1  1  1 -1  1  1", 17, 1),
    ("-1 -1 -1  1  1  1  1", 17, 1),
    ("-1 -1 -1 -1 -1  1  1", 9000, 2),
    ("-1  1 -1 -1 -1  1 -1", 9000, 2),
)


def write_celeba(root: Path) -> Path:
    """CelebA's tree of six images with seven of the forty attributes."""
    names = "5_o_Clock_Shadow Eyeglasses Goatee Male Mustache No_Beard Young "
    images = [f"{n:06d}.jpg" for n in range(1, len(CELEBA) + 1)]
    lists = {
        "list_attr_celeba.txt": [str(len(images)), names],
        "identity_CelebA.txt": [],
        "list_eval_partition.txt": [],
    }
    for image, (values, identity, split) in zip(images, CELEBA, strict=True):
        write_image(root / "img_align_celeba" / image, pixels(int(image[:6])))
        for lines, value in zip(lists.values(), (values, identity, split), strict=True):
            lines.append(f"{image} {value}")
    for name, lines in lists.items():
        (root / name).write_text("\n".join([*lines, ""]))
    return root


def write_ffhq(root: Path) -> Path:
    """FFHQ's tree of six thumbnails; in the fifth no face was found."""
    for n in range(6):
        write_image(root / "thumbnails128x128" / "00000" / f"{n:05d}.png", pixels(n))
        attributes = {
            "gender": "male" if n % 2 else "female",
            "age": 10.0 + 20 * n,
            "facialHair": {"moustache": 0.1 * n, "beard": 0.2, "sideburns": 0.9},
            "glasses": "ReadingGlasses" if n == 1 else "NoGlasses",
        }
        faces = [] if n == 4 else [{"faceAttributes": attributes}]
        (root / "json").mkdir(exist_ok=True)
        (root / "json" / f"{n:05d}.json").write_text(json.dumps(faces))
    return root


def read(
    path: Path,
    on_error: str = "raise",
    seed: int = 0,
    fold: SubjectFold | None = None,
    known: Mapping[str, str] = MappingProxyType({}),
    options: Mapping[str, object] = MappingProxyType({}),
    **preprocessing: bool | float,
) -> tuple[pd.DataFrame, Rejects]:
    """Faces of the dataset "mine" at `path`, in batches of two, and what was rejected."""
    rejects = Rejects(on_error)
    adapter = ADAPTERS[recognise(path)]
    annotations = adapter.open(path, "mine", seed, rejects, fold, known, options=options)
    tables = list(
        adapter.faces(annotations, Preprocessing(SIZE, **preprocessing), rejects, 2, batch_size=2)
    )
    require_faces(len(tables), path, rejects)
    assert all(table.schema == FACE_SCHEMA for table in tables)
    return pa.concat_tables(tables).to_pandas(), rejects


Harm = Callable[[Path], object]


def line(file: str | Path, number: int, content: str) -> Harm:
    """Replace a line, counted from 1, of a text file in a tree."""

    def harm(root: Path) -> None:
        lines = (root / file).read_text().splitlines()
        lines[number - 1] = content
        (root / file).write_text("\n".join(lines))

    return harm


def refused(
    root: Path,
    harm: Harm,
    file: str,
    number: int | None,
    column: str | None,
    value: str | None,
    reason: str,
) -> list[str]:
    """Harm a tree; its first fault is named in an error or in the table of rejects.

    `file` is relative to `root`, and ``{root}`` stands for it in `value` and `reason`, of which the
    beginning will do.

    Returns:
        sample_id of the faces that stay.
    """
    harm(root)
    file, reason = str(root / file), reason.format(root=root)
    value = value and value.format(root=root)
    with pytest.raises(FacsimileError) as caught:
        read(root)
    message = str(caught.value)
    assert message.startswith(file if number is None else f"{file}: line {number}")
    assert column is None or f" column {column}: " in message
    assert (reason if value is None else f"{value} {reason}") in message

    faces, rejects = read(root, "skip")
    first = rejects.to_table().to_pylist()[0]
    assert first.pop("reason").startswith(reason)
    assert first == {"file": file, "line": number, "column": column, "value": value}
    return faces["sample_id"].tolist()
