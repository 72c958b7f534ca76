from setuptools import Extension, setup

# stdc++ by name, as code generators do; without it setuptools links with the C++ compiler
setup(
    ext_modules=[
        Extension("extension_cpp.driver", ["driver.cpp"], language="c++"),
        Extension("extension_cpp.named", ["named.cpp"], libraries=["stdc++"]),
    ]
)
