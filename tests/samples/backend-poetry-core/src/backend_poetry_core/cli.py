from importlib.metadata import version


def main():
    print(f"backend-poetry-core {version('backend-poetry-core')}: hello")
