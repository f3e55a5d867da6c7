"""Some generated faces and what is said of them, a release of those, and a certificate."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from facsimile.datasets import ADAPTERS
from facsimile.datasets.terms import RENDERED
from facsimile.faces.aus import AUS
from facsimile.faces.tables import GENERATED_SCHEMA, image_structs, write_shards
from facsimile.measurement import count_aus
from facsimile.release import LICENCES, Release, SourceDataset, StageFacts, write_release
from facsimile.report import Evidence
from tests.facsimile.report.conftest import write_evidence

SIZE = 16


def generated(count: int = 40) -> pd.DataFrame:
    """Noise of two people edited and two synthesized; AU26 leaves AU25 without a label."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(count):
        edited = n < count // 2
        person = f"disfa/S{n % 2}" if edited else f"synthetic/{n % 2:06d}"
        au = AUS[n % len(AUS)] if n % 5 else None
        labels = dict.fromkeys(AUS, 0.0)
        labels |= {au: 0.25 + n / 100} if au else {"AU01": 0.5, "AU04": 1.0}
        if au == "AU26":
            labels["AU25"] = np.nan
        rows.append(
            {
                "sample_id": f"{person}/{n}/{au or 'mixed'}",
                "dataset": "disfa" if edited else "synthetic",
                "subject_id": person,
                "split": "train" if n % 2 else "val",
                **labels,
                "au_presence_only": False,
                "male": np.nan if edited else float(n % 2),
                "age": np.nan if edited else 0.5,
                "origin": "edited" if edited else "synthetic",
                "source_id": f"{person}/neutral",
                "edited_au": au,
                "intensity": labels[au] if au else np.nan,
                "editor": "linear",
                "editor_md5": "d" * 32,
                "generator_md5": "e" * 32,
                "seed": 3,
                "z": np.zeros(4, np.float32),
            }
        )
    faces = pd.DataFrame(rows)
    images = rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    return faces.assign(image=image_structs(images, faces["sample_id"]))


def edits_of(faces: pd.DataFrame) -> pd.DataFrame:
    """What was set; the plan of the first face is not known."""
    edits = faces.set_index("sample_id")[list(AUS)].astype(np.float32).fillna(0.5)
    edits.iloc[0] = np.nan
    return edits


@pytest.fixture(scope="session")
def faces() -> pd.DataFrame:
    return generated()


@pytest.fixture(scope="session")
def table(faces: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filter") / "faces"
    write_shards([faces], path, GENERATED_SCHEMA, rows_per_shard=16)
    return path


@pytest.fixture(scope="session")
def release(faces: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Release:
    evidence = Evidence.read(write_evidence(tmp_path_factory.mktemp("run") / "evaluate"))
    real = count_aus(faces.assign(origin="real"))
    return Release(
        "small faces",
        LICENCES["cc-by-nc-4.0"],
        (
            SourceDataset("disfa", ("faces edited",), ADAPTERS["disfa"].terms, permitted=True),
            SourceDataset("world-ffhq", ("generator trained",), RENDERED),
        ),
        Evidence(evidence.metrics, evidence.tables | {"au_counts": real}),
        (
            StageFacts(
                "edit",
                "python -m tasks.edit",
                {"edit.seed": 1},
                {"data/editor": "0a.dir", "facsimile/faces/tables.py": "0b"},
                {"data/edit": "0c.dir"},
                run="7f",
                revision="c0ffee",
            ),
        ),
        {"edit": ["edit.seed modified"]},
        version="dataset/2026.01.05.2",
        version_commit="decade",
    )


@pytest.fixture(scope="session")
def write(faces: pd.DataFrame, table: Path, release: Release) -> Callable[..., Path]:
    """Writes the release into a folder."""

    def written(out: Path, **options: Any) -> Path:
        options = {"edits": edits_of(faces)} | options
        write_release(out, options.pop("faces", table), release, **options)
        return out

    return written


@pytest.fixture(scope="session")
def folder(write: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release; shards are small enough for several."""
    return write(tmp_path_factory.mktemp("release") / "faces", shard_bytes=9000)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A chain of two throw-away certificates, and the key of the first."""
    folder = tmp_path_factory.mktemp("certificate")
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("root", root_key, "root", root_key)
    own = _certificate("publisher", key, "root", root_key)
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(own.public_bytes(pem) + root.public_bytes(pem))
    for name, private in (("key.pem", key), ("other.pem", root_key)):
        content = private.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / name).write_bytes(content)
    return folder / "chain.pem", folder / "key.pem"


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    authority = subject == issuer
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    usages = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    usage = x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, **usages)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
    )
    if not authority:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    oids = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    return x509.Name([x509.NameAttribute(oid, text) for oid in oids])
