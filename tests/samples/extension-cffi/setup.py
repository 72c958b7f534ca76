from setuptools import setup

setup(cffi_modules=["describe.py:builder"])
