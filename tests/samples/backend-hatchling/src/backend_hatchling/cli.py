from importlib.metadata import version
from importlib.resources import files


def main():
    greeting = (files("backend_hatchling") / "words" / "greeting.txt").read_text(encoding="utf-8").strip()
    print(f"backend-hatchling {version('backend-hatchling')}: {greeting}")
