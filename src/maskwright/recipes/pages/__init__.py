"""What all HTML pages share: `page.html.jinja` (frame and styles), and how they are rendered.

A page extends `page.html.jinja`, which brings colours for light and dark, print rules and the
frame; a page holds its pictures itself, as data URLs, and asks no server for anything.
"""

from __future__ import annotations

from maskwright.recipes.pages.rendering import data_url, render, write_page

__all__ = ["data_url", "render", "write_page"]
