import a_module_that_nobody_installed


def main():
    print("broken-import: never printed")
