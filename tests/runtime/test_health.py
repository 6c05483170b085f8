"""What is wrong with the daemon just now: said when it begins and when it is over, once each."""

from structlog.testing import capture_logs

from guardian.runtime.health import Health


def test_a_daemon_that_has_started_had_no_problem() -> None:
    """Nobody was told of one, so nobody looks for what was over."""
    health = Health()
    with capture_logs() as logs:
        health.clear("start")
    assert health.ready
    assert logs == []


def test_a_problem_is_told_when_it_begins_and_when_it_is_over() -> None:
    """Saying it again changes nothing."""
    health = Health()
    with capture_logs() as logs:
        health.report("kafka", "no broker")
        health.report("kafka", "no broker")
        health.clear("kafka")
        health.clear("kafka")
    assert [(line["event"], line["part"]) for line in logs] == [("problem", "kafka"), ("problem_over", "kafka")]
