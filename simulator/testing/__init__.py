"""Real services for tests: Kafka, Prometheus, Alertmanager, HAProxy, HTTP pods, a Kubernetes control plane.

Each part starts the real program on loopback, says where it listens, and ends it by its pid. Nothing here
imitates a service's protocol. The pytest fixtures are in `simulator.testing.plugin`; what must be fetched
or built once is done by `python -m simulator.testing.services prepare`. README.md beside this file shows
the use of each.
"""
