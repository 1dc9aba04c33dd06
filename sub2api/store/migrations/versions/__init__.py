"""One file per revision, numbered; each repeats what it needs, since tables.py moves on."""
