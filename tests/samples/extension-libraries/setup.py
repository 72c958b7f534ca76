from setuptools import Extension, setup

setup(
    ext_modules=[
        # own/ has a zlib.h too: a package's own headers are meant, if it has some
        Extension(
            "extension_libraries.deeper.versions",
            ["versions.c"],
            include_dirs=["own"],
            libraries=["crypto", "sqlite3", "z", "ffi"],
        )
    ]
)
