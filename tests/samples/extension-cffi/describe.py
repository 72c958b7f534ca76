from cffi import FFI

builder = FFI()
builder.cdef("int apply(int (*function)(int), int number);")
builder.set_source("extension_cffi", "static int apply(int (*function)(int), int number) { return function(number); }")
