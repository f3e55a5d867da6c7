"""Render people with expressions: linear head model, rasteriser and deferred shader."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit

from facsimile.faces.aus import AUS
from facsimile.seeding import sample_rng
from facsimile.world import appearance
from facsimile.world.accessories import (
    FRAME_TRIANGLES,
    LENS_TRIANGLES,
    LOCK_TRIANGLES,
    glasses,
    locks,
)
from facsimile.world.appearance import Frame, Person, Session
from facsimile.world.head import PART_EYE, PART_FRAME, PART_HAIR, HeadModel
from facsimile.world.raster import rasterize
from facsimile.world.shading import Paint, hairline_height, shade, smooth, vertex_normals

# A tight crop: distance between the eyes, and of the eyes from the upper edge, as shares of the
# side. Faces are aligned on the eyes only: aligning on the mouth as well, as FFHQ does, would let
# AU12 and AU26 change the scale of the face.
EYE_DISTANCE = 0.29
EYE_ROW = 0.37

_PIVOT = np.array([0.0, 7.1, 0.4])  # the head rotates about the top of the neck
_CHIN = np.array([0.0, 6.27, 1.27])
_SHORTEST_LOCKS = 0.15
# Masks of hair and glasses: no lips, mouth or ears, and most of the sky visible.
_OUTSIDE = np.array([0, 0, 0, 0.75], np.float32)


class _Mesh(NamedTuple):
    """A head with hair and glasses; `worn` is the index of their first triangle."""

    vertices: np.ndarray  # (V, 3) decimetres
    triangles: np.ndarray  # (F, 3)
    parts: np.ndarray  # (F,) PART_*
    worn: int
    lenses: np.ndarray  # (L, 3) triangles of glass


class Renderer:
    """Renders faces of a population.

    Args:
        size: side of the images, pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.model = HeadModel()
        rest, ears = self.model.rest, self.model.masks[:, 2] > 0.5
        eyes = np.unique(self.model.triangles[self.model.parts == PART_EYE])
        # The person's right side is at negative x.
        self._eyes = [eyes[rest[eyes, 0] < 0], eyes[rest[eyes, 0] > 0]]
        self._ears = [np.flatnonzero(ears & (side * rest[:, 0] > 0)) for side in (-1, 1)]
        brows = (np.abs(rest[:, 0]) < 0.5) & (np.abs(rest[:, 1] - 7.55) < 0.1) & (rest[:, 2] > 1.0)
        self._brows = np.flatnonzero(brows)
        self._chin = int(np.argmin(np.linalg.norm(rest - _CHIN, axis=1)))
        self._depth = np.empty((2 * size, 2 * size), np.float32)
        self._seen = np.empty((2 * size, 2 * size), np.int32)
        self._weights = np.empty((2 * size, 2 * size, 2), np.float32)

    def render(self, people: pd.DataFrame, seed: int) -> np.ndarray:
        """Render rows of ``population``.

        Appearance is drawn from (seed, subject_id), the scene from (seed, session_id), pose and
        gaze from (seed, sample_id), so a face does not depend on the other rows.

        Args:
            people: N rows of ``facsimile.world.population.population``.
            seed: seed of the world.

        Returns:
            uint8 (N, size, size, 3), sRGB.
        """
        faces = np.empty((len(people), self.size, self.size, 3), np.uint8)
        expressions = appearance.expression(self.model.names, people)
        aus = people[list(AUS)].to_numpy(np.float32)
        for n, row in enumerate(people.itertuples(index=False)):
            person = appearance.draw_person(
                sample_rng(seed, f"person/{row.subject_id}"), self.model.names, row.male, row.age
            )
            session = appearance.draw_session(
                sample_rng(seed, f"session/{row.session_id}"), row.domain
            )
            frame = appearance.draw_frame(sample_rng(seed, f"frame/{row.sample_id}"))
            self.model.close_lips(person.coefficients)
            head = self.model.vertices((person.coefficients + expressions[n])[None])[0]
            eyes = np.stack([head[side].mean(0) for side in self._eyes])
            mesh = self._add_hair_and_glasses(head, eyes, person, row.eyeglasses)
            paint = _paint(person, session, frame, row.beard)
            self._draw(
                mesh, eyes, _rotation(session, frame), session.distance, aus[n], paint, faces[n]
            )
        return faces

    def _add_hair_and_glasses(
        self, head: np.ndarray, eyes: np.ndarray, person: Person, eyeglasses: bool
    ) -> _Mesh:
        """Add hair and, if `eyeglasses`, glasses to a head; raises its scalp in place."""
        model = self.model
        normals = np.empty_like(head)
        vertex_normals(head, model.triangles, normals)
        ears = np.stack([head[side].max(0) for side in self._ears])
        _raise_scalp(head, normals, model.rest, model.masks, person)

        meshes = [(head, model.triangles, model.parts)]
        half_width = max(np.abs(head[side, 0]).max() for side in self._ears)
        if person.hair_length >= _SHORTEST_LOCKS:
            chin = float(head[self._chin, 1])
            hair = locks(half_width, person.hair_length, person.hair_thickness, chin)
            meshes.append((hair, LOCK_TRIANGLES, np.full(len(LOCK_TRIANGLES), PART_HAIR, np.uint8)))
        lenses = np.empty((0, 3), np.int64)
        if eyeglasses:
            lenses = LENS_TRIANGLES + sum(len(vertices) for vertices, _, _ in meshes)
            ears[:, 0] = [-half_width + 0.04, half_width - 0.04]
            ears[:, 2] = [head[side, 2].mean() for side in self._ears]
            frame = glasses(
                eyes,
                ears,
                head[self._brows, 2].max(),
                person.glasses_width,
                person.glasses_height,
                person.glasses_squareness,
                person.rim,
            )
            part = np.full(len(FRAME_TRIANGLES), PART_FRAME, np.uint8)
            meshes.append((frame, FRAME_TRIANGLES, part))
        vertices, triangles, parts = zip(*meshes, strict=True)
        starts = np.cumsum([0, *map(len, vertices)])
        return _Mesh(
            np.concatenate(vertices).astype(np.float32),
            np.concatenate([t + start for t, start in zip(triangles, starts, strict=False)]),
            np.concatenate(parts),
            len(model.triangles),
            lenses,
        )

    def _draw(
        self,
        mesh: _Mesh,
        eyes: np.ndarray,
        rotation: np.ndarray,
        distance: float,
        aus: np.ndarray,
        paint: Paint,
        out: np.ndarray,
    ) -> None:
        """Rotate, project, rasterise and shade into `out` (size, size, 3)."""
        head = len(self.model.rest)
        rest = np.zeros_like(mesh.vertices)
        rest[:head] = self.model.rest
        masks = np.tile(_OUTSIDE, (len(mesh.vertices), 1))
        masks[:head] = self.model.masks
        turned = ((mesh.vertices - _PIVOT) @ rotation.T).astype(np.float32)
        normals = np.empty_like(turned)
        vertex_normals(turned, mesh.triangles, normals)
        screen = self._project(turned, (eyes - _PIVOT) @ rotation.T, distance)

        buffers = self._depth, self._seen, self._weights
        self._depth[:] = np.inf
        self._seen[:] = -1
        rasterize(screen, mesh.triangles, 0, mesh.worn, False, *buffers)
        rasterize(screen, mesh.triangles, mesh.worn, len(mesh.triangles), True, *buffers)
        glass = np.zeros(self._seen.shape, bool)
        if len(mesh.lenses):
            pane = np.full_like(self._seen, -1)
            spare = self._depth.copy(), pane, np.empty_like(self._weights)
            rasterize(screen, mesh.lenses, 0, len(mesh.lenses), True, *spare)
            glass = pane >= 0
        shade(
            self._seen,
            self._weights,
            glass,
            mesh.triangles,
            mesh.parts,
            rest,
            normals,
            masks,
            aus,
            paint,
            out,
        )

    def _project(self, turned: np.ndarray, eyes: np.ndarray, distance: float) -> np.ndarray:
        """Column, row (in samples) and depth, float32 (V, 3), aligned on the eyes."""
        side = 2 * self.size

        def perspective(points: np.ndarray) -> np.ndarray:
            return points[:, :2] / (distance - points[:, 2:]) * distance

        right, left = perspective(eyes)
        # Scale by the distance of the eyes in space, which does not change when the head turns.
        nearness = distance / (distance - eyes[:, 2].mean())
        scale = EYE_DISTANCE * side / (np.linalg.norm(eyes[1] - eyes[0]) * nearness)
        centre = (right + left) / 2
        points = (perspective(turned) - centre) * scale
        column, row = side / 2 + points[:, 0], EYE_ROW * side - points[:, 1]
        return np.column_stack([column, row, -turned[:, 2]]).astype(np.float32)


def _rotation(session: Session, frame: Frame) -> np.ndarray:
    """Rotation (3, 3) of the head: roll after pitch after yaw."""
    yaw, pitch, roll = session.yaw + frame.yaw, session.pitch + frame.pitch, frame.roll
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _paint(person: Person, session: Session, frame: Frame, beard: bool) -> Paint:
    shared = person._asdict() | session._asdict()
    gaze = np.array([frame.gaze_x, frame.gaze_y, 1.0])
    gaze /= np.linalg.norm(gaze)
    shared |= {"gaze_x": gaze[0], "gaze_y": gaze[1], "gaze_z": gaze[2]}
    shared["beard_density"] *= float(beard)
    return Paint(**{field: shared[field] for field in Paint._fields})


def _raise_scalp(
    head: np.ndarray, normals: np.ndarray, rest: np.ndarray, masks: np.ndarray, person: Person
) -> None:
    """Raise the scalp of `head` (V, 3) by the thickness of its hair, in place."""
    thickness = person.hair_thickness * (1 - person.baldness)
    _lift(head, normals, rest, masks, person.hairline, person.recession, thickness)


@njit(cache=True)
def _lift(head, normals, rest, masks, hairline, recession, thickness):
    for v in range(len(head)):
        if masks[v, 2] > 0.3 or masks[v, 1] > 0.3:
            continue
        height = hairline_height(rest[v, 0], rest[v, 2], hairline, recession)
        lift = thickness * smooth(-0.02, 0.3, rest[v, 1] - height)
        for k in range(3):
            head[v, k] += lift * normals[v, k]
