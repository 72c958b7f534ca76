def main():
    print("bad-build: never printed")
