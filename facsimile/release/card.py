"""The dataset card, README.md, for the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from facsimile import __version__
from facsimile.faces.aus import ACTIVE_THRESHOLD, AU_NAMES, AUS
from facsimile.faces.origins import ORIGINS, REAL, generated_origins
from facsimile.release.columns import RELEASE_SCHEMA, classes, describe_columns
from facsimile.release.facts import Release
from facsimile.release.shards import Shard
from facsimile.release.xmp import DIGITAL_SOURCE_TYPE
from facsimile.report import Picture

TEMPLATE = "card.md"

INTENDED = (
    "training and testing facial Action Unit detectors, together with real annotated faces",
    "research on class imbalance, co-activation and fairness of such detectors",
    "research on synthetic training data and its detection",
)
PROHIBITED = (
    "identifying, verifying or tracking people, or training models to do so",
    "deceiving anyone about what a person did, said or felt; presenting a face as a photograph, or "
    "removing its provenance marks for that purpose",
    "inferring emotions, character, health, gender or origin of people at work, in education, by "
    "authorities or insurers, or for any other decision about them",
    "harassing or exposing anyone, including the people in the sources",
)

_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"))


def render_card(
    release: Release,
    faces: pd.DataFrame,
    shards: Sequence[Shard],
    demographics: pd.DataFrame,
    pictures: Mapping[str, Picture],
    image_size: tuple[int, int],
    signed: bool,
) -> str:
    """Render the card as Markdown with YAML front matter.

    Args:
        release: facts about the release.
        faces: released rows without images.
        shards: files of the release.
        demographics: see `demographic_counts`.
        pictures: file name in ``figures/`` without suffix → alt text and caption.
        image_size: height and width of the images, pixels.
        signed: whether the images have C2PA manifests.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    generated = generated_origins().values()
    dataset_origins = [origin.name for origin in generated if origin.from_dataset]
    environment.filters |= {"cell": _cell, "number": _number}
    return environment.get_template(TEMPLATE).render(
        front_matter=_front_matter(release, faces, shards),
        release=release,
        evidence=release.evidence,
        splits=faces["split"].value_counts().to_dict(),
        origins=faces["origin"].value_counts().sort_index().to_dict(),
        people=faces.groupby("origin")["subject_id"].nunique().to_dict(),
        real=REAL,
        real_people=any(
            source.terms.people is not False
            for source in release.sources
            if source.name in set(faces["dataset"])
        ),
        face_sources=sorted(set(faces.loc[faces["origin"].isin(dataset_origins), "dataset"])),
        dataset_origins=dataset_origins,
        described=[origin for origin in generated if origin.name in set(faces["origin"])],
        aus=_per_au(faces, release),
        columns={
            name: (RELEASE_SCHEMA.field(name).type, text)
            for name, text in describe_columns().items()
        },
        au_columns=AUS,
        demographics=demographics,
        pictures=pictures,
        image_size=image_size,
        signed=signed,
        intended=INTENDED,
        prohibited=PROHIBITED,
        digital_source_type=DIGITAL_SOURCE_TYPE,
        threshold=ACTIVE_THRESHOLD,
        version=__version__,
    )


def gate(name: str) -> str:
    """Conditions that users must accept if the publisher restricts access."""
    return (
        f"The faces of {name} are synthetic. They may be used for research on facial Action Unit "
        "detectors, but not to identify, deceive, judge or harass anyone: see Intended use and "
        "Prohibited use in the card."
    )


def _front_matter(release: Release, faces: pd.DataFrame, shards: Sequence[Shard]) -> str:
    licence = release.licence
    splits = dict.fromkeys(shard.split for shard in shards)
    size = next((text for limit, text in _SIZES if len(faces) < limit), "n>1M")
    values: dict[str, Any] = {
        "pretty_name": release.name,
        "license": licence.identifier,
        "task_categories": ["image-classification"],
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["extended"],
        "size_categories": [size],
        "tags": ["synthetic", "faces", "facs", "action-units", "facial-expression", "croissant"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"} for split in splits
                ],
            }
        ],
        "dataset_info": {"features": [_feature(name) for name in RELEASE_SCHEMA.names]},
        "extra_gated_heading": "These faces are synthetic and come with conditions",
        "extra_gated_prompt": gate(release.name),
        "extra_gated_fields": {
            "Name and affiliation": "text",
            "What I will use the faces for": "text",
            "I will use them only as the card intends, for nothing it prohibits": "checkbox",
        },
    }
    if licence.identifier == "other":
        values |= {"license_name": "see-license-link", "license_link": licence.url}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).strip()


def _feature(name: str) -> dict[str, Any]:
    if name == "image":
        return {"name": name, "dtype": "image"}
    if name in classes():
        names = {str(index): label for index, label in enumerate(classes()[name])}
        return {"name": name, "dtype": {"class_label": {"names": names}}}
    kind = str(RELEASE_SCHEMA.field(name).type)
    return {"name": name, "dtype": {"float": "float32"}.get(kind, kind)}


def _per_au(faces: pd.DataFrame, release: Release) -> list[dict[str, Any]]:
    """Counts of each AU and, if measured, its edit effect and F1."""
    counts = release.evidence.tables["au_counts"]
    active = counts.pivot(index="au", columns="origin", values="active").reindex(list(AUS))
    active = active[[origin for origin in ORIGINS if origin in active]]
    rows = []
    for au in AUS:
        shown = {
            origin: "not annotated" if np.isnan(count) else f"{count:.0f}"
            for origin, count in active.loc[au].items()
        }
        rows.append(
            {
                "au": au,
                "name": AU_NAMES[au],
                "active": shown,
                "unknown": int(faces[au].isna().sum()),
                "on_target": release.evidence.number("edit", "on_target_per_au", au),
                "f1": {
                    arm: release.evidence.number("f1", arm, "per_au", au)
                    for arm in release.evidence.metrics.get("f1", {})
                },
            }
        )
    return rows


def _number(value: float | None, digits: int = 2) -> str:
    if value is None or np.isnan(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def _cell(value: object) -> str:
    """Escape text for a cell of a Markdown table."""
    return str(value).replace("|", "\\|").replace("\n", " ")
