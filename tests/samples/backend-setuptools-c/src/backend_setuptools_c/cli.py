from importlib.metadata import version

from backend_setuptools_c._sum import add


def main():
    print(f"backend-setuptools-c {version('backend-setuptools-c')}: 20 + 22 = {add(20, 22)} says C")
