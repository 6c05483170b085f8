"""A real Apache Kafka broker for tests, without containers: single node, KRaft, on loopback."""
