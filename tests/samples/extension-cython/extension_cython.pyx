def says():
    cdef double total = 0
    cdef int number
    for number in range(9):
        total += number
    return f"says Cython {total:.0f}"
