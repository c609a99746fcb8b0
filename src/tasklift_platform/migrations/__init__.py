"""Migrations of the tables that server and inbox both have; only forwards."""
