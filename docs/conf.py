"""How the documents are built: ``sphinx-build -W docs build/docs``, which the tests do as well."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "ext"))

project = "txfluvio"
author = "the txfluvio maintainers"
release = version = installed_version("txfluvio")

extensions = ["sphinx.ext.autodoc", "generated"]
exclude_patterns = ["changes"]
html_theme = "furo"
html_title = f"txfluvio {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
add_module_names = False
# Types are named without their modules, and a few names are there twice.
suppress_warnings = ["ref.python"]
