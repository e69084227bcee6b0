"""Builds the quickstart crawl. `build_crawl.py` beside this folder is the command."""
