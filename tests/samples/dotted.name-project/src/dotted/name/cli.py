from importlib.metadata import version

import dotted


def main():
    kind = "package" if getattr(dotted, "__file__", None) else "namespace package"
    print(f"dotted.name-project {version('dotted.name-project')}: hello from a {kind}")
