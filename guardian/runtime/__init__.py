"""The daemon around the core: waits, delivers, persists, performs. It decides nothing."""
