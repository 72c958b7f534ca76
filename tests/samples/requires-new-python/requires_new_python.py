def main():
    print("requires-new-python: never printed")
