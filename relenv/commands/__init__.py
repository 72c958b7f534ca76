"""The sub-commands: one module each, with SUMMARY, configure(parser) and run(args, context)."""

COMMANDS = (
    *("init", "bundle", "create", "fetch", "buildenv", "check", "verify", "repair"),
    *("build", "versions", "cache", "toolchain"),
)
"""In the order in which `relenv --help` lists them."""
