"""The command line: arguments, tables and progress for people; no logic of its own."""
