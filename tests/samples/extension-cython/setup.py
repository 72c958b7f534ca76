from Cython.Build import cythonize
from setuptools import setup

setup(ext_modules=cythonize("extension_cython.pyx"))
