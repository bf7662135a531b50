"""Imports go one way: each module may import from the layers below its own only, and none in a circle."""

import ast
import importlib
from pathlib import Path

import pytest

import gpuimg

ROOT = Path(gpuimg.__file__).parent

# From the top. A module may import what stands in a line below its own.
LAYERS = [
    ("gpuimg.__main__",),
    ("gpuimg.cli",),
    ("gpuimg.cli.completion", "gpuimg.cli.demo", "gpuimg.cli.filters", "gpuimg.cli.info", "gpuimg.cli.machine"),
    ("gpuimg.cli.run", "gpuimg.cli.serve"),
    ("gpuimg.cli.options", "gpuimg.cli.terminal"),
    ("gpuimg.service.command",),
    ("gpuimg.service.app", "gpuimg.service.serving"),
    ("gpuimg.service.core", "gpuimg.service.workers"),
    ("gpuimg.service.metrics", "gpuimg.service.remote"),
    ("gpuimg.service.work",),
    ("gpuimg.service.bodies", "gpuimg.service.cache", "gpuimg.service.pace", "gpuimg.service.schema"),
    ("gpuimg.service.access", "gpuimg.service.limits", "gpuimg.service.loads"),
    ("gpuimg.service.problems",),
    ("gpuimg.service",),
    ("gpuimg.demo",),
    ("gpuimg.demo_lag",),
    ("gpuimg.demo_routes",),
    ("gpuimg", "gpuimg.advice", "gpuimg.tuning"),
    ("gpuimg.warming",),
    ("gpuimg.jobs.batches",),
    ("gpuimg.jobs.streams",),
    ("gpuimg.jobs.pool",),
    ("gpuimg.jobs.chains",),
    ("gpuimg.jobs.texts",),
    ("gpuimg.jobs",),
    (
        "gpuimg.filters.feature",
        "gpuimg.filters.pyramid",
        "gpuimg.filters.regions",
        "gpuimg.filters.local_thresholds",
        "gpuimg.filters.warp",
    ),
    ("gpuimg.footprints",),
    ("gpuimg.filters.arithmetic", "gpuimg.filters.smooth", "gpuimg.filters.thresholds"),
    ("gpuimg.filters.*",),
    ("gpuimg.filters",),
    ("gpuimg.run",),
    ("gpuimg.choosing",),
    ("gpuimg.dispatch",),
    ("gpuimg.backend.cuda", "gpuimg.backend.multicore", "gpuimg.backend.processes"),
    ("gpuimg.backend.cupygpu", "gpuimg.backend.single", "gpuimg.backend.worker", "gpuimg.backend.compiler"),
    ("gpuimg.backend.prepared", "gpuimg.backend.series"),
    ("gpuimg.backend.chain", "gpuimg.backend.stages"),
    ("gpuimg.backend.calls", "gpuimg.backend.device", "gpuimg.backend.driver"),
    ("gpuimg.backend.native",),
    ("gpuimg.backend.base", "gpuimg.backend.compiled"),
    ("gpuimg.backend.walk", "gpuimg.backend.compiling"),
    ("gpuimg.backend.jit_fast",),
    ("gpuimg.backend.jit",),
    ("gpuimg.backend",),
    ("gpuimg.files",),
    ("gpuimg.files.reading", "gpuimg.files.writing"),
    ("gpuimg.files.formats", "gpuimg.files.drafts"),
    ("gpuimg.files.tiff",),
    ("gpuimg.files.avif", "gpuimg.files.bitmaps", "gpuimg.files.jpeg", "gpuimg.files.npy", "gpuimg.files.png"),
    ("gpuimg.files.fits", "gpuimg.files.pnm", "gpuimg.files.tiff_guards"),
    ("gpuimg.files.jpeg2000", "gpuimg.files.webp"),
    ("gpuimg.files.pillow",),
    ("gpuimg.files.pages", "gpuimg.files.pieces"),
    ("gpuimg.files.codecs", "gpuimg.files.limits", "gpuimg.files.meta"),
    ("gpuimg.plans.alpha",),
    ("gpuimg.plans.graph",),
    ("gpuimg.plans.nodes",),
    ("gpuimg.plans.value",),
    ("gpuimg.plans",),
    ("gpuimg.kernels",),
    ("gpuimg.machine",),
    ("gpuimg.caching",),
    ("gpuimg.registry",),
    ("gpuimg.images",),
    ("gpuimg.errors", "gpuimg.exif", "gpuimg.memory"),
    ("gpuimg.typing", "gpuimg.stopping", "gpuimg.keeping", "gpuimg.extras"),
]
LEAVES = (*LAYERS[-3], *LAYERS[-2])


def modules():
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not name.startswith("gpuimg.kernels."):
            found[name] = path
    return found


MODULES = modules()


def level(name):
    family = name.rpartition(".")[0] + ".*"
    for number, layer in enumerate(LAYERS):
        if name in layer or family in layer:
            return number
    return None


def imported(name):
    """The modules of gpuimg that a module imports, inside functions too, but not for type checkers alone."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {each if each in MODULES else node.module for each in whole}
    return {each for each in found if each in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    own = level(name)
    assert own is not None, f"{name} has no place in LAYERS"
    for other in imported(name):
        assert level(other) > own, f"{name} imports {other}, which stands no lower"


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_import_little(name):
    assert imported(name) <= {*LAYERS[-1], "gpuimg.memory", "gpuimg.exif"}


def test_no_import_goes_in_a_circle():
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path, name])
        if name in done:
            return
        path.append(name)
        for other in imported(name):
            visit(other)
        done.add(path.pop())

    for name in MODULES:
        visit(name)


def test_kernels_import_only_kernels_and_leaves():
    for path in (ROOT.parent / "kernels").glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("gpuimg"):
                allowed = node.module.startswith("gpuimg.kernels.") or node.module in LEAVES
                assert allowed, f"{path.name} imports {node.module}"


def test_every_lazy_name_is_there():
    for name in gpuimg.__all__:
        assert getattr(gpuimg, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'blur'"):
        _ = gpuimg.blur
    assert set(gpuimg.__all__) <= set(dir(gpuimg))
    for name, found in gpuimg.FILTERS.items():
        assert getattr(gpuimg, name) is found.function


def test_type_checkers_know_every_lazy_name():
    tree = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    known = {alias.asname for node in imports for alias in node.names}  # `as` makes a name public in a stub file
    assert known == set(gpuimg.__all__) - {"__version__"}
    for node in imports:
        for alias in node.names:
            if alias.name != "FILTERS":
                assert getattr(gpuimg, alias.name) is getattr(importlib.import_module(node.module), alias.name)


def test_what_a_user_looks_at_holds_public_names_only():
    assert dir(gpuimg) == sorted(gpuimg.__all__)
    head, _, families = gpuimg.__doc__.partition("Filters by family:")
    assert head.startswith("Image filters for NumPy, CuPy and PIL images")
    listed = set(families.replace(",", " ").split())
    assert set(gpuimg.FILTERS) <= listed
    others = {"regionprops_table"}  # returns a table, not an image
    assert {f"{entry.family}:" for entry in gpuimg.FILTERS.values()} == listed - set(gpuimg.FILTERS) - others
