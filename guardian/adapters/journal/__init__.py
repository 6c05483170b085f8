"""Journals: where decisions are kept. One file a store; all keep the promise of guardian.ports.Journal."""
