"""``facsimile predict`` on pictures, folders, videos and junk, and over HTTP."""

import base64
import csv
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from facsimile.detection import AUEnsemble
from facsimile.faces.aus import AUS
from facsimile.faces.tables import encode_png
from tests.facsimile.datasets.trees import write_video
from tests.support.detectors import SIZE, validation_images

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def predict(root: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments), "--root", str(root)])


def expected(root: Path, images: np.ndarray) -> np.ndarray:
    """Readings of the detectors that the champion was made from."""
    return AUEnsemble.load(root / "data" / "train" / "real+generated").predict(images).clip(0, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two faces, one of them in a folder of its own, a video, and a file that is no picture."""
    folder = tmp_path / "faces"
    (folder / "more").mkdir(parents=True)
    images = validation_images()
    Image.fromarray(images[0]).save(folder / "a.png")
    Image.fromarray(images[1]).save(folder / "more" / "b.png")
    (folder / "junk.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("ignored")
    write_video(folder / "v.mp4", [np.full((SIZE, SIZE, 3), 0, np.uint8), *images[:4]], "mpeg4")
    return folder


def test_folders_and_videos_are_read_into_a_csv_file(registered: Path, folder: Path) -> None:
    out = folder.parent / "aus.csv"
    result = predict(registered, folder, "--every", 2, "--csv", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}: 4 faces\n"
    junk, blank = result.stderr.splitlines()
    assert junk.startswith(f"facsimile: {folder}/junk.jpg is unreadable")
    assert blank.startswith(f"facsimile: {folder}/v.mp4 frame 1 is blank")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [(Path(row["path"]).name, row["frame"]) for row in rows]
    assert names == [
        ("a.png", ""),
        ("junk.jpg", ""),
        ("b.png", ""),
        ("v.mp4", "1"),
        ("v.mp4", "3"),
        ("v.mp4", "5"),
    ]
    found = np.array([[float(rows[row][au]) for au in AUS] for row in (0, 2)])
    np.testing.assert_allclose(found, expected(registered, validation_images()[:2]), atol=1e-5)
    assert {row[f"{au}_present"] for row in rows for au in AUS} == {"0", "1", ""}
    assert rows[1]["AU12"] == "" and rows[1]["error"].startswith("is unreadable")


def test_faces_are_printed_as_a_table(registered: Path, folder: Path) -> None:
    result = predict(registered, folder / "a.png", folder / "absent.png")
    assert result.exit_code == 0
    head, row = result.stdout.splitlines()
    assert head.split() == ["face", *AUS]
    values = expected(registered, validation_images()[:1])[0]
    assert row.split()[-12:] == [f"{value:.2f}" for value in values]
    assert result.stderr == f"facsimile: {folder / 'absent.png'} does not exist\n"


def test_nothing_to_read_is_bad_input(registered: Path, folder: Path, tmp_path: Path) -> None:
    result = predict(registered, folder / "junk.jpg")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    (tmp_path / "empty").mkdir()
    result = predict(registered, tmp_path / "empty")
    assert result.exit_code == 2 and "no pictures or videos in this folder" in result.stderr
    result = predict(registered)
    assert result.exit_code == 2 and "give --serve" in result.stderr


FINDER = """
import numpy as np

def find(pixels):
    if pixels.shape[0] == 50:
        return None
    return np.array([[20, 20], [40, 20], [30, 30], [22, 40], [38, 40]])
"""


def test_pictures_are_aligned_by_the_function_named(registered: Path, tmp_path: Path) -> None:
    (registered / "finder_for_predict.py").write_text(FINDER)
    for name, height in (("face", 60), ("nobody", 50)):
        noise = np.random.default_rng(0).integers(0, 256, (height, 80, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    names = (tmp_path / "face.png", tmp_path / "nobody.png")
    result = predict(registered, *names, "--align", "finder_for_predict:find")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 2
    (line,) = result.stderr.splitlines()
    assert line.endswith("nobody.png has no face that finder_for_predict:find can find")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_champion_is_served_over_http(registered: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "cli", "predict", "--serve", f"--port={port}"]
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    with subprocess.Popen(
        [*command, "--root", str(registered)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            line = server.stdout.readline()
            url = f"http://127.0.0.1:{port}/invocations"
            assert line == f"version 1 at {url}; Ctrl-C ends it\n"
            images = validation_images()[:2]
            records = [{"image": base64.b64encode(encode_png(image)).decode()} for image in images]
            records.append({"image": base64.b64encode(b"junk").decode()})
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            body = json.dumps({"dataframe_records": records})
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            assert answer.status == 200
            rows = json.loads(answer.read(), parse_constant=pytest.fail)["predictions"]
            found = [[row[au] for au in AUS] for row in rows[:2]]
            np.testing.assert_allclose(found, expected(registered, images), atol=1e-5)
            assert rows[0]["error"] is None and rows[0]["AU12_present"] in (True, False)
            assert rows[2]["AU12"] is None and rows[2]["error"].startswith("is unreadable")

            connection.request("POST", "/invocations", '{"dataframe_records": [{}]}', headers)
            assert connection.getresponse().status == 400
            refused = predict(registered, "--serve", f"--port={port}")
            assert refused.exit_code == 2 and re.search(r"port \d+: .* --port", refused.stderr)
        finally:
            server.send_signal(signal.SIGINT)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server outlives the command"
