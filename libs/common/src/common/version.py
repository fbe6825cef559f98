"""The version of the suite. Its packages are built from one tree and released together, so they have one."""

VERSION = "0.1.0"
