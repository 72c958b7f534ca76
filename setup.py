# templates/ lies at the top level, where someone who edits what we ship finds it; inside the
# package it is relenv.templates. pyproject.toml cannot express that mapping beside find_packages.
from setuptools import find_namespace_packages, setup

setup(
    # setuptools takes directories of data for packages as well, and says so at length of each that is not named
    packages=[
        *find_namespace_packages(include=["relenv", "relenv.*"], exclude=["*.__pycache__"]),
        "relenv.templates",
        "relenv.templates.project",
    ],
    package_dir={"relenv": "relenv", "relenv.templates": "templates"},
    package_data={
        "relenv": [
            "py.typed",
            "pip.conf",
            "recipes/profiles/*.tar.xz",
            "recipes/*.h",
            "recipes/*.c",
            "recipes/linux/**/*.h",
        ],
        "relenv.templates": ["*", "**/*"],
    },
)
