# templates/ lies at the top level, where someone who edits what we ship finds it; inside the
# package it is relenv.templates. pyproject.toml cannot express that mapping beside find_packages.
from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["relenv", "relenv.*"]), "relenv.templates"],
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
