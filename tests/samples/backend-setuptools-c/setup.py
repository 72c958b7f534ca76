from setuptools import Extension, setup

setup(ext_modules=[Extension("backend_setuptools_c._sum", ["src/backend_setuptools_c/_sum.c"])])
