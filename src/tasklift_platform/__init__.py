"""The ground under server and inbox: database, keys, jobs, audit, erasure, secrets, web kit. No AI in it.

Of tasklift it imports `tasklift.errors` and nothing else. Every part takes what it needs as an argument;
the environment is read by the applications. docs/platform.md is the manual.
"""
