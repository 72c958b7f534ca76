"""Says something, and has texts that are worth compressing: Cython does that where 200 bytes are saved."""

WORDS = (
    "the texts of a module are compressed where that pays, and the names of the modules that it imports are in them",
    "the names of the modules that a module imports are among its texts, and they are compressed where that pays",
    "where that pays the texts of a module are compressed, and among them the names of the modules that it imports",
    "compressed are, where that pays, the texts of a module, and among them the names of the modules that it imports",
)


def later():
    import colorsys

    return colorsys


def says():
    cdef double total = 0
    cdef int number
    for number in range(9):
        total += number
    return f"says Cython {total:.0f}"
