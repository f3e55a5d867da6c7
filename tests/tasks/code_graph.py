"""Which files of the project a module needs: all modules it imports, and the data these read.

Imports are followed transitively, also those inside functions, by module and not by package. Of
``from facsimile.editing import plan_edits``, the module that defines `plan_edits` is needed. The
``__init__`` in between only hands the name on, and what else it imports cannot change a result. If
it came to hand on another definition, that module would be needed instead.
"""

import ast
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

_UNREAD = ("__pycache__", "README.md")  # .dvcignore has them, too


class CodeGraph:
    """Imports between the modules of some packages.

    Args:
        root: folder of the packages.
        packages: names of top-level packages.
    """

    def __init__(self, root: Path, packages: Collection[str]) -> None:
        self.root = root
        self.packages = packages
        self._sources: dict[str, Source | None] = {}

    def needed(self, module: str) -> set[Path]:
        """Files that a module needs, itself included, relative to the root.

        Args:
            module: dotted name.
        """
        modules: set[str] = set()
        waiting = [module]
        while waiting:
            name = waiting.pop()
            if name not in modules:
                modules.add(name)
                waiting += self._imports(name)
        sources = [self._source(name) for name in modules]
        files = {source.path for source in sources}
        texts = {text for source in sources for text in source.strings}
        found = {file.relative_to(self.root) for file in files | self._data(texts)}
        return found - self._hands_on

    @cached_property
    def data_files(self) -> set[Path]:
        """Files of the packages that are no modules: templates, style sheets, arrays."""
        return {
            path
            for package in self.packages
            for path in files_in(self.root / package)
            if path.suffix != ".py"
        }

    def shortest(self, files: Collection[Path], whole: Collection[str] = ()) -> set[str]:
        """Files with a folder in place of all files in it.

        An ``__init__`` that only hands names on does not count.

        Args:
            files: relative to the root.
            whole: folders to take as soon as one file in them is among `files`.
        """
        folders = {folder for file in files for folder in list(file.parents)[:-1]}
        taken = {
            folder
            for folder in folders
            if str(folder) in whole or self._counted(self.root / folder) <= set(files)
        }
        return {str(path) for path in taken | set(files) if not taken & set(path.parents)}

    def _counted(self, folder: Path) -> set[Path]:
        return {path.relative_to(self.root) for path in files_in(folder)} - self._hands_on

    @cached_property
    def _hands_on(self) -> set[Path]:
        inits = (
            path.relative_to(self.root)
            for package in self.packages
            for path in (self.root / package).rglob("__init__.py")
        )
        return {path for path in inits if self._source(".".join(path.parent.parts)).hands_on}

    def _data(self, texts: set[str]) -> set[Path]:
        """Data files that are named in `texts`, or in such a file."""
        found: set[Path] = set()
        while True:
            new = {
                path
                for path in self.data_files - found
                if any(path.name in text.split("/") for text in texts)
            }
            if not new:
                return found
            found |= new
            texts = {word for path in new for word in _words(path)}

    def _imports(self, module: str) -> Iterator[str]:
        """Modules that one needs directly."""
        for base, name in self._source(module).imports:
            yield self._definer(base, name)
        # `import a.b.c` executes a/__init__.py and a/b/__init__.py, too.
        parts = module.split(".")
        for end in range(1, len(parts)):
            if (parent := self._source(".".join(parts[:end]))) and parent.acts:
                yield parent.module

    def _definer(self, base: str, name: str | None) -> str:
        """The module in which ``from base import name`` finds what it imports."""
        if name and self._source(f"{base}.{name}"):
            return f"{base}.{name}"
        source = self._source(base)
        assert source, f"no module {base}"
        if source.hands_on and name in source.names:
            return self._definer(*source.names[name])
        return base

    def _source(self, module: str) -> "Source | None":
        if module not in self._sources:
            path = self.root.joinpath(*module.split("."))
            files = (path / "__init__.py", path.with_suffix(".py"))
            file = next((file for file in files if file.is_file()), None)
            self._sources[module] = file and Source(module, file, self.root, self.packages)
        return self._sources[module]


class Source:
    """One module.

    Attributes:
        module: dotted name.
        path: its file.
        imports: imported modules of the packages, each with the name that is taken from it, if any.
        names: name that an import binds → that import.
        strings: all string literals.
    """

    def __init__(self, module: str, path: Path, root: Path, packages: Collection[str]) -> None:
        self.module = module
        self.path = path
        self._root = root
        self._packages = packages
        self._tree = ast.parse(path.read_text())
        self.names: dict[str, tuple[str, str | None]] = {}
        self.imports: set[tuple[str, str | None]] = set()
        self.strings: set[str] = set()
        self._visit(self._tree)

    @property
    def hands_on(self) -> bool:
        """Whether it is an ``__init__`` that defines nothing itself."""
        return self.path.name == "__init__.py" and all(
            isinstance(node, (ast.Import, ast.ImportFrom)) or _is_text(node) or _is_all(node)
            for node in self._tree.body
        )

    @property
    def acts(self) -> bool:
        """Whether importing it does more than define names."""
        return not all(_defines(node) or _is_text(node) for node in self._tree.body)

    def _visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return  # for type checkers, never executed
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._add(alias.name, None, alias.asname or alias.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self._add(self._base(node), alias.name, alias.asname or alias.name)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            self._add_dynamic(node.args[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.strings.add(node.value)
        for child in ast.iter_child_nodes(node):
            self._visit(child)

    def _add_dynamic(self, name: ast.expr) -> None:
        """An import of a module by its name; a user may give any other name."""
        if isinstance(name, ast.Constant):
            self._add(name.value, None, "")
        elif isinstance(name, ast.JoinedStr):  # f"package.{module}": any module of the package
            package = ast.literal_eval(name.values[0]).rstrip(".")
            for path in self._root.joinpath(*package.split(".")).glob("*.py"):
                self._add(package, path.stem if path.stem != "__init__" else None, "")

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module.split(".")
        up = node.level - (self.path.name == "__init__.py")
        return ".".join([*package[: len(package) - up], *filter(None, [node.module])])

    def _add(self, base: str, name: str | None, bound: str) -> None:
        if base.split(".")[0] in self._packages:
            self.imports.add((base, name))
            self.names[bound] = (base, name)


def files_in(folder: Path) -> Iterator[Path]:
    """Files that DVC hashes of a folder."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(part in _UNREAD for part in path.parts):
            yield path


def _words(path: Path) -> set[str]:
    """Quoted words of a text file, such as the templates that it includes."""
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return set()
    return set(text.replace("'", '"').split('"'))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) for target in node.targets)
    kinds = (ast.Import, ast.ImportFrom, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
    return isinstance(node, kinds)
