"""Reading tensors from third-party files without running any code in them."""

import argparse
import builtins
import os
import pickle
import sys
import tarfile
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import datetime
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from facsimile.errors import FacsimileError
from facsimile.pretraining.checkpoints import read_tensors

TENSOR = torch.arange(3.0)
STATE = {"state_dict": OrderedDict({"out.bias": TENSOR})}

formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])


def save(content: object, path: Path, zipped: bool = True, protocol: int = 2) -> Path:
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return path


def foreign(module: str, name: str, base: type = object) -> tuple[dict[str, ModuleType], type]:
    """A class of a package that is not installed, and the modules needed to pickle it."""
    parts = module.split(".")
    names = [".".join(parts[: end + 1]) for end in range(len(parts))]
    modules = {name: ModuleType(name) for name in names}
    cls = type(name, (base,), {"__module__": module})
    setattr(modules[module], name, cls)
    return modules, cls


METADATA = {
    "scalars": [np.float64(0.5), np.int64(3), np.bool_(True), np.datetime64("2021-11-30")],
    "arrays": [np.arange(3), np.array(["a"]), np.array([None, 1], object)],
    "types": [np.float32, np.dtype("int8"), int, torch.bfloat16, torch.Size([2])],
    "random states": [np.random.RandomState(0), np.random.default_rng(0)],
    "paths": [Path("last.ckpt"), argparse.Namespace(lr=0.1), datetime(2021, 11, 30)],
    "collections": [defaultdict(list, {"a": [1]}), deque([1], 3), Counter("ab"), {1}, b"\x00"],
    "version": [torch.torch_version.TorchVersion("1.8.1")],
}


@formats
@pytest.mark.parametrize("values", METADATA.values(), ids=METADATA)
def test_metadata_is_ignored(tmp_path, values, zipped):
    path = save({**STATE, "hyper_parameters": {"values": values}}, tmp_path / "last.ckpt", zipped)
    tensors = read_tensors(path)
    assert list(tensors) == ["state_dict.out.bias"]
    assert torch.equal(tensors["state_dict.out.bias"], TENSOR)


@formats
@pytest.mark.parametrize("names", [("numpy.core", "numpy._core"), ("numpy._core", "numpy.core")])
def test_numpy_metadata_of_any_version(tmp_path, names, zipped):
    path = save({**STATE, "loss": np.float64(0.5)}, tmp_path / "last.ckpt", zipped)
    if zipped:
        members = {}
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content.replace(*(text.encode() for text in names)))
    else:
        path.write_bytes(path.read_bytes().replace(*(text.encode() for text in names)))
    assert list(read_tensors(path)) == ["state_dict.out.bias"]


@formats
@pytest.mark.parametrize(
    "module, name, base",
    [
        ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", object),
        ("pytorch_lightning.utilities.parsing", "AttributeDict", dict),
        ("lightning.pytorch.callbacks.early_stopping", "EarlyStopping", object),
        ("lightning.fabric.utilities.data", "AttributeDict", dict),
        ("omegaconf.dictconfig", "DictConfig", object),
        ("yacs.config", "CfgNode", dict),
    ],
)
def test_settings_and_states_of_training_tools_are_ignored(tmp_path, module, name, base, zipped):
    modules, cls = foreign(module, name, base)
    one = cls()
    one.__dict__["depth"] = 3
    with patch.dict(sys.modules, modules):
        held = {cls: 1, "instance": one, "several": [cls(lr=0.1) if base is dict else cls()]}
        path = save({**STATE, "callbacks": held}, tmp_path / "last.ckpt", zipped)
    assert list(read_tensors(path)) == ["state_dict.out.bias"]


def test_the_checkpoint_itself_may_be_of_such_a_class(tmp_path):
    modules, cls = foreign("pytorch_lightning.utilities.parsing", "AttributeDict", dict)
    with patch.dict(sys.modules, modules):
        path = save(cls(STATE), tmp_path / "last.ckpt")
    assert list(read_tensors(path)) == ["state_dict.out.bias"]


def test_a_dictionary_may_contain_itself(tmp_path):
    content = dict(STATE)
    content["again"] = content["once more"] = content
    assert list(read_tensors(save(content, tmp_path / "last.ckpt"))) == ["state_dict.out.bias"]


class Reduced:
    """Unpickling an instance calls the given function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HOSTILE = {
    "posix.mkdir": Reduced(os.mkdir, "executed"),
    "posix.system": Reduced(os.system, "mkdir executed"),
    "builtins.eval": Reduced(builtins.eval, "__import__('os').mkdir('executed')"),
    "builtins.exec": Reduced(builtins.exec, "import os; os.mkdir('executed')"),
    "builtins.getattr": Reduced(getattr, os, "mkdir"),
    "torch.serialization.load": Reduced(torch.load, "other.ckpt"),
    "numpy.testing": Reduced(np.testing._private.utils.runstring, "import os", {}),
}


@formats
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("name", HOSTILE)
def test_code_is_refused_without_running_it(tmp_path, monkeypatch, name, nested, protocol, zipped):
    monkeypatch.chdir(tmp_path)
    hostile = HOSTILE[name]
    if name == "builtins.getattr":  # a module cannot be pickled
        hostile = Reduced(getattr, Path, "mkdir")
    value = {"a": [OrderedDict(b=(hostile,))]} if nested else hostile
    path = save({**STATE, "x": value}, tmp_path / "last.ckpt", zipped, protocol)
    with pytest.raises(FacsimileError, match=f"refused, .* run code: .*{name}"):
        read_tensors(path)
    assert not Path("executed").exists()


@formats
def test_a_checkpoint_that_is_only_code_is_not_run(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    path = save(Reduced(os.mkdir, "executed"), tmp_path / "last.ckpt", zipped)
    with pytest.raises(FacsimileError, match="mkdir"):
        read_tensors(path)
    # Before the magic number, as a pickle that pickle.dump wrote.
    path.write_bytes(pickle.dumps(Reduced(os.mkdir, "executed"), 2) + path.read_bytes())
    with pytest.raises(FacsimileError, match=r"torch.save did not write, with \w+.mkdir"):
        read_tensors(path)
    assert not Path("executed").exists()


@formats
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")
def test_a_pickled_model_is_reported_by_its_class(tmp_path, zipped):
    modules, cls = foreign("model.unet_autoenc", "BeatGANsAutoencModel", torch.nn.Module)
    model = cls()
    model.out = torch.nn.Linear(2, 2)
    with patch.dict(sys.modules, modules):
        path = save({"model": model}, tmp_path / "last.ckpt", zipped)
    expected = "a whole model, model.unet_autoenc.BeatGANsAutoencModel; .* model.state_dict"
    with pytest.raises(FacsimileError, match=expected):
        read_tensors(path)


def test_an_unknown_class_is_named(tmp_path):
    modules, cls = foreign("my_project.settings", "Settings")
    with patch.dict(sys.modules, modules):
        path = save({**STATE, "settings": cls()}, tmp_path / "last.ckpt")
    with pytest.raises(
        FacsimileError, match=r"my_project.settings.Settings; .* only its state_dict"
    ):
        read_tensors(path)


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("ffhq256/last.ckpt", "x")


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as file:
        file.add(__file__, "last.ckpt")


def cut(zipped: bool, share: float):
    def write(path: Path) -> None:
        whole = save({**STATE, "more": torch.zeros(9999)}, path, zipped).read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return write


def cut_safetensors(path: Path) -> None:
    save_file({"out.bias": torch.zeros(999)}, path)
    path.write_bytes(path.read_bytes()[:-100])


def folder(path: Path) -> None:
    path.mkdir()
    (path / "last.ckpt").touch()


@pytest.mark.parametrize(
    "write, message",
    [
        (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
        (lambda p: p.write_text("\n<!DOCTYPE html><html>quota"), "but a web page: .* in a browser"),
        (lambda p: p.write_text("404: Not Found\n"), "but text: '404: Not Found'"),
        (lambda p: p.write_text('{"message": "Größe"}'), "but text: '{\"message"),
        (lambda p: p.write_bytes(b""), "an empty file, not a checkpoint: download it again"),
        (lambda p: p.write_bytes(bytes(range(256)) * 9), "not a checkpoint, or a truncated one"),
        (lambda p: p.write_bytes(b"\x1f\x8b\x08" + bytes(9)), "gzip archive: unpack it"),
        (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "a pickle that torch.save did not write"),
        (archive, "a zip archive with ffhq256/last.ckpt: unpack it"),
        (tar, "a tar archive: unpack it"),
        (folder, "a folder, not a checkpoint: use a file in it, such as .*bad/last.ckpt"),
        (cut(True, 0.9), "a truncated one of .* bytes .*download it again"),
        (cut(True, 0.01), "a truncated one of"),
        (cut(False, 0.9), "a truncated one of .* bytes .*download it again"),
        (cut(False, 0.01), "a truncated one of"),
        (cut_safetensors, "a truncated one of .* bytes .safetensors: .*download it again"),
        (lambda p: save(STATE, p, protocol=4), "pickle protocol 4, .* save it again"),
        (lambda p: torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), p), "a TorchScript"),
        (lambda p: save([1], p), "not a checkpoint, but a list: it has no state_dict"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:`torch.jit:FutureWarning")
def test_the_error_says_in_one_line_what_a_file_is(tmp_path, write, message):
    write(tmp_path / "bad")
    with pytest.raises(FacsimileError, match=message) as error:
        read_tensors(tmp_path / "bad")
    assert str(error.value).startswith(f"{tmp_path / 'bad'}: ") and "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(tmp_path))
