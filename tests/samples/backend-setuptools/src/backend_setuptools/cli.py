from importlib.metadata import version
from importlib.resources import files


def main():
    greeting = (files("backend_setuptools") / "words" / "greeting.txt").read_text(encoding="utf-8").strip()
    print(f"backend-setuptools {version('backend-setuptools')}: {greeting}")
