import sys

sys.exit("bad-build: this build fails on purpose")
