def main():
    print("unresolvable: never printed")
