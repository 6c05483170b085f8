"""Policies out of what other systems are configured with: Argo Rollouts and Flagger. Files in, text out; no network."""
