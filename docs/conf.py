"""The documentation site: `sphinx-build -W --keep-going -n docs build/docs` in an environment with the extra
`docs`."""

import sys
import warnings
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")  # `plt.show()` in an example

project = "hw4opt"
author = "the hw4opt developers"
copyright = "the hw4opt developers"
release = metadata.version("hw4opt")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "command_options",
    "docstrings",
    "drawn_terms",
    "mathml",
    "measured",
    "public_names",
    "run_command",
]
exclude_patterns = ["extensions", "templates", "data", "README.md", "*/GALLERY_HEADER.rst", "tutorials/*", "gallery/*"]
templates_path = ["templates"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # the gallery's settings hold functions

autosummary_generate = True
autodoc_typehints_format = "short"
autodoc_type_aliases = {"Array": "Array", "ArrayLike": "ArrayLike"}
python_use_unqualified_type_names = True
# Types in signatures are not links: most are NumPy's. Pages link by `py:obj`, which is checked.
nitpick_ignore_regex = [("py:(class|exc|data|attr|meth|func)", ".*")]

sphinx_gallery_conf = {
    "examples_dirs": ["tutorials", "gallery"],
    "gallery_dirs": ["run_tutorials", "run_gallery"],
    "filename_pattern": ".*",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1,
    "plot_gallery": True,
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "hw4opt"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"], "navigation_with_keys": False}
