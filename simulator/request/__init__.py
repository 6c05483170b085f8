"""The request grain: every request a process of its own, so that causes lead to what a scraper sees."""
