"""The studio: what its page shows, and that its pictures are those of the library."""

import base64
import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from facsimile.editing import load_editor
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AU_NAMES, AUS
from facsimile.release import DIGITAL_SOURCE_TYPE
from flows import studio_server
from flows.studio import Studio
from flows.studio_server import create_app
from tasks.shared.artefacts import EDITOR
from tests.support.detectors import pictures
from tests.support.editing import KNOWN, write_studio_project
from tests.support.project import ROOT

CHROMIUM = shutil.which("chromium")
_FINDER = """
def none(image): return None
def two(image): return [[[0, 0]] * 5] * 2
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two editors, faces of people, and all that new people need."""
    root = tmp_path_factory.mktemp("project")
    write_studio_project(root)
    (root / "finder.py").write_text(_FINDER)
    return root


@pytest.fixture(scope="module")
def page(project: Path) -> Iterator[TestClient]:
    threads = torch.get_num_threads()
    with TestClient(create_app(Studio(project)), base_url="http://127.0.0.1:1234") as client:
        yield client
    torch.set_num_threads(threads)


@pytest.fixture
def data(page: TestClient) -> dict[str, Any]:
    """What the script of the page reads."""
    text = page.get("/").text
    (embedded,) = re.findall(r'id="data">(.*?)</script>', text, re.S)
    return json.loads(embedded)


def ask(page: TestClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = page.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def upload(page: TestClient, content: bytes, name: str = "face.png", **options: Any) -> Any:
    headers = {"Content-Type": "application/octet-stream"}
    return page.post(
        "/api/pictures", params={"name": name, **options}, content=content, headers=headers
    )


_numbers = iter(range(10**6))


def change(face: str, **values: Any) -> dict[str, Any]:
    """The body of a request for an edit."""
    body = {"client": "test", "number": next(_numbers), "face": face, "levels": {}}
    return body | {"method": "linear"} | values


def png_of(answer: dict[str, Any]) -> bytes:
    return base64.b64decode(answer["image"].removeprefix("data:image/png;base64,"))


def pixels(source: bytes | Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(source) if isinstance(source, bytes) else source))


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_page_shows_held_out_people_and_fitted_editors(
    page: TestClient, data: dict[str, Any]
) -> None:
    titles = [face["title"] for face in data["faces"]]
    assert len(titles) == 8 and titles[0] == "mine/p11, at rest"
    assert {title.split(",")[0] for title in titles} == {f"mine/p{n}" for n in (2, 5, 8, 11)}
    assert [face["kind"] for face in data["faces"]] == ["at rest"] * 4 + ["expressive"] * 4
    assert [(editor["name"], editor["aus"]) for editor in data["editors"]] == [
        ("linear", list(KNOWN)),
        ("dual-branch", list(KNOWN)),
    ]
    assert data["method"] == "linear" and data["aus"] == AU_NAMES and not data["sampling"]
    assert data["unfitted"].startswith("Not fitted: relative, absolute, label-free.")


def test_the_page_loads_nothing_from_elsewhere(page: TestClient) -> None:
    for path in ("/", "/studio.css", "/studio.js"):
        answer = page.get(path)
        assert answer.status_code == 200 and not re.findall(r"https?://", answer.text)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.get("/docs").status_code == page.get("/openapi.json").status_code == 404
    assert page.get("/data/params.yaml").status_code == 404


def test_other_hosts_are_refused(page: TestClient) -> None:
    assert page.get("/", headers={"Host": "attacker.example"}).status_code == 400
    assert page.get("/", headers={"Host": "localhost:1234"}).status_code == 200


def test_a_form_of_another_site_is_refused(page: TestClient) -> None:
    body = json.dumps({"key": "g0"})
    answer = page.post("/api/faces", content=body, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert page.post("/api/pictures", params={"name": "a"}, content=b"x").status_code == 415


@pytest.mark.parametrize("method", ["linear", "dual-branch"])
@pytest.mark.parametrize("kind", ["table", "upload", "person"])
@pytest.mark.parametrize("how", ["levels", "reference"])
def test_python_lines_and_command_make_the_same_picture(
    page: TestClient, project: Path, method: str, kind: str, how: str
) -> None:
    if kind == "table":
        face = ask(page, "/api/faces", {"key": "g0"})
    elif kind == "person":
        face = ask(page, "/api/people", {"gender": "female", "age_group": "old"})
    else:
        content = png(np.concatenate([pictures(1, 5)[0]] * 2))  # twice as high as wide
        (project / "face.png").write_bytes(content)
        face = upload(page, content, crop=True).json()
    values = {"levels": {"AU04": 0.9, "AU12": 0.25}} if how == "levels" else {"reference": "g5"}
    edit = ask(page, "/api/edits", change(face["key"], method=method, **values))
    edited = pixels(png_of(edit))
    assert np.abs(edited.astype(int) - pixels(png_of(face))).max() > 1

    with chdir(project):
        exec(compile(edit["python"], "copied", "exec"), {})
        np.testing.assert_array_equal(pixels(Path("edited.png")), edited)
        Path("edited.png").unlink()
        for key in edit["originals"]:
            original = ask(page, "/api/faces", {"key": key})
            Path(original["file"]).write_bytes(png_of(original))
        result = CliRunner().invoke(app, shlex.split(edit["command"])[1:])
        assert result.exit_code == 0, result.output
        assert np.abs(pixels(Path("edited.png")).astype(int) - edited).max() <= 1


def test_pictures_say_that_they_are_synthetic(page: TestClient, project: Path) -> None:
    person = ask(page, "/api/people", {"gender": "male", "age_group": "young"})
    edit = ask(page, "/api/edits", change(person["key"], levels={"AU12": 1.5}))
    for content in (png_of(person), png_of(edit)):
        assert DIGITAL_SOURCE_TYPE.encode() in content
    assert load_editor(project / EDITOR).digest.encode() in png_of(edit)
    assert edit["file"] == f"{Path(person['file']).stem}-edited.png" and edit["command"] == ""
    real = ask(page, "/api/faces", {"key": "g0"})
    assert DIGITAL_SOURCE_TYPE.encode() not in png_of(real)
    assert len(real["aus"]) == len(edit["aus"]) == len(AUS)


def test_a_preview_is_coarse(page: TestClient) -> None:
    values = {"levels": {"AU12": 1.0}}
    preview = ask(page, "/api/edits", change("g0", preview=True, **values))
    final = ask(page, "/api/edits", change("g0", **values))
    assert preview.keys() == {"image"} and preview["image"] != final["image"]


def test_no_change_decodes_the_face_again(page: TestClient) -> None:
    edit = ask(page, "/api/edits", change("g0"))
    same = ask(page, "/api/edits", change("g0", levels={}, method="linear"))
    assert edit["image"] == same["image"] and edit["command"] == ""


def test_only_the_newest_request_of_a_page_is_answered(page: TestClient) -> None:
    assert page.post("/api/edits", json=change("g0", number=10**7, client="a")).status_code == 200
    assert page.post("/api/edits", json=change("g0", number=10**7, client="a")).status_code == 200
    old = page.post("/api/edits", json=change("g0", number=5, client="a"))
    assert old.status_code == 204 and not old.content
    assert page.post("/api/edits", json=change("g0", number=5, client="b")).status_code == 200


def test_pages_are_forgotten_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio_server, "_CLIENTS", 2)
    newest = studio_server.Newest()
    for client in ("a", "b", "a", "c"):
        newest.note(client, 7)
    assert [newest.is_stale(client, 3) for client in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"face": "a999"}, "this face is no longer in memory"),
        ({"levels": {"AU06": 1.0}}, "editor linear cannot change AU06; it changes AU04, AU12"),
        ({"levels": {"AU12": 1.6}}, "AU12: 1.6 is not between -0.5 and 1.5"),
        ({"method": "magic"}, "editor magic is not fitted"),
        ({"reference": "../g0"}, "this face is no longer in memory"),
    ],
)
def test_what_cannot_be_done_is_said(
    page: TestClient, values: dict[str, Any], message: str
) -> None:
    answer = page.post("/api/edits", json=change(**{"face": "g0"} | values))
    assert answer.status_code == 400 and answer.json()["error"].startswith(message)


def test_unusable_pictures_are_refused(
    page: TestClient, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tall = png(np.concatenate([pictures(1)[0]] * 2))
    for content, message in ((b"no picture", "face.png is unreadable"), (tall, "face.png is 32")):
        answer = upload(page, content)
        assert answer.status_code == 400 and answer.json()["error"].startswith(message)
    monkeypatch.setattr(studio_server, "MAX_UPLOAD", 100)
    assert upload(page, b"x" * 101).status_code == 413


@pytest.mark.parametrize(
    ("found", "message"), [("none", "has no face that"), ("two", "shows 2 faces; crop it")]
)
def test_pictures_need_one_face(project: Path, found: str, message: str) -> None:
    studio = Studio(project, landmarks=f"finder:{found}")
    with TestClient(create_app(studio), base_url="http://localhost") as client:
        answer = upload(client, png(pictures(1)[0]), "me.png")
    assert answer.status_code == 400 and f"me.png {message}" in answer.json()["error"]


def test_faces_in_memory_are_limited(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facsimile.studio.session._ADDED", 1)
    studio = Studio(project)
    keys = [studio.add_picture(png(image), "a.png", False)["key"] for image in pictures(2)]
    with pytest.raises(FacsimileError, match="no longer in memory; add it again"):
        studio.open(keys[0])
    assert studio.open(keys[1])["title"] == "a.png" and studio.open("g0")["title"]


def test_a_project_that_has_not_run_is_told_what_to_run(project: Path, tmp_path: Path) -> None:
    def run(*options: str) -> str:
        result = CliRunner().invoke(app, ["studio", "--no-open", *options])
        assert result.exit_code == 2
        return result.stderr

    assert "not a project folder" in run("--root", str(tmp_path))
    (tmp_path / "dvc.yaml").touch()
    wanted = "data/editor: no editor is fitted yet; run `facsimile run editor baseline`"
    assert wanted in run("--root", str(tmp_path))
    (tmp_path / "data" / "editor").mkdir(parents=True)
    assert "data/baseline: no AU detector is trained yet" in run("--root", str(tmp_path))
    assert "--method magic is not one of" in run("--method", "magic", "--root", str(project))
    assert "relative is not fitted; run `facsimile editors`" in run(
        "--method", "relative", "--root", str(project)
    )


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_page_in_a_browser_and_the_end_by_ctrl_c(project: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "studio", "--no-open", "--root", str(project)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as studio:
        try:
            url = studio.stdout.readline().split()[0]
            browser = [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                f"--user-data-dir={tmp_path}",
                "--virtual-time-budget=20000",
                "--dump-dom",
                f"{url}#face=g1&editor=dual-branch&AU12=0.85",
            ]
            dom = subprocess.run(browser, capture_output=True, text=True, timeout=120).stdout
        finally:
            studio.send_signal(signal.SIGINT)
            _, errors = studio.communicate(timeout=30)
    assert studio.returncode == 0 and "Traceback" not in errors
    assert 'data-quality="final"' in dom
    assert re.search(r'<a [^>]*id="save"[^>]*href="data:image/png;base64,', dom)
    assert 'target_levels({"AU12": 0.85}, editor)' in dom
    assert "--method dual-branch" in dom and "0.85 D" in dom
    rows = re.findall(r'<div class="au( set)?"( hidden="")?>.*?<b>(AU\d\d)', dom)
    assert [(bool(row[0]), row[2]) for row in rows if not row[1]] == [
        (False, "AU04"),
        (True, "AU12"),
    ]
    assert 'id="error" role="alert" hidden' in dom
