"""Formats of annotated pictures, one file each; `table.py` lists them."""
