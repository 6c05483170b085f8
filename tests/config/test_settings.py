"""guardian.yaml: defaults are safe, secrets are named, places are found, mistakes have a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardian.config.fields import Address, Secret
from guardian.config.settings import Protocol, Settings, load_settings, read_settings
from guardian.errors import ConfigError

EXAMPLE = Path("examples/guardian.yaml")


def load(tmp_path: Path, text: str) -> Settings:
    """Return the settings of a text."""
    file = tmp_path / "guardian.yaml"
    file.write_text(text)
    return load_settings(file)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """Return all that is wrong with a text, each as it is shown, without the folder."""
    file = tmp_path / "guardian.yaml"
    file.write_text(text)
    return [str(finding).removeprefix(f"{tmp_path}/") for finding in read_settings(file)[1]]


def test_the_example_is_valid() -> None:
    """It is what a new user copies."""
    settings = load_settings(EXAMPLE)
    assert settings.place("production").cluster
    assert settings.kafka is not None


def test_without_a_file_it_listens_on_loopback_only() -> None:
    """Nobody else can reach a daemon that was started without thinking."""
    assert Settings().listen == Address("127.0.0.1", 8080)
    assert Settings().kafka is None
    assert Settings().url == "http://127.0.0.1:8080"


def test_elsewhere_than_loopback_it_needs_a_token(tmp_path: Path) -> None:
    """API, hooks and remote write move traffic."""
    (mistake,) = mistakes(tmp_path, "listen: 0.0.0.0:8080\n")
    assert mistake.startswith("guardian.yaml:1:9: listen: listening on 0.0.0.0:8080 without a token")
    assert load(tmp_path, "listen: 0.0.0.0:8080\ntoken: {env: T}\n").url == "http://127.0.0.1:8080"


def test_paths_are_meant_from_the_folder_of_the_file(tmp_path: Path) -> None:
    """The daemon may be started from anywhere."""
    settings = load(tmp_path, "data: ./state\ntoken: {file: secrets/token}\n")
    assert settings.data == tmp_path / "state"
    assert settings.policies == tmp_path / "policies"
    assert settings.token is not None
    assert settings.token.file == tmp_path / "secrets/token"


def test_a_secret_in_plain_is_refused_and_not_shown(tmp_path: Path) -> None:
    """Neither in guardian.yaml nor in the log of whoever wrote it there."""
    (mistake,) = mistakes(tmp_path, "token: hunter2\n")
    assert "write {file: PATH} or {env: NAME}" in mistake
    assert "hunter2" not in mistake


@pytest.mark.parametrize("text", ["token: {}", "token: {file: a, env: B}"])
def test_a_secret_has_one_place(tmp_path: Path, text: str) -> None:
    """It must be clear which of two is used."""
    (mistake,) = mistakes(tmp_path, text)
    assert "exactly one of 'file' and 'env'" in mistake


def test_a_secret_is_read_at_each_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it may be rotated without a restart."""
    file = tmp_path / "token"
    file.write_text("one\n")
    secret = Secret(file=file)
    assert secret.read() == "one"
    file.write_text("two")
    assert secret.read() == "two"
    monkeypatch.setenv("GUARDIAN_TEST_TOKEN", "three")
    assert Secret(env="GUARDIAN_TEST_TOKEN").read() == "three"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_secret_that_is_absent_or_empty_is_an_error(tmp_path: Path, content: str | None) -> None:
    """An empty token would match an empty header."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        Secret(file=file).read()
    assert str(file) in caught.value.where


def test_a_region_differs_from_its_environment_in_what_it_names(tmp_path: Path) -> None:
    """And in nothing else."""
    settings = load(
        tmp_path,
        """environments:
  production:
    cluster: eu
    inCluster: true
    namespace: shop
    metrics: {url: 'http://prometheus:9090'}
    regions: {us: {cluster: us, kubeconfig: us.conf}}
""",
    )
    here, there = settings.place("production", "eu"), settings.place("production", "us")
    assert (here.cluster, here.in_cluster, here.namespace) == ("eu", True, "shop")
    assert (there.cluster, there.in_cluster, there.namespace) == ("us", False, "shop")
    assert there.kubeconfig == tmp_path / "us.conf"
    assert there.metrics == here.metrics


def test_an_environment_that_is_not_configured_names_the_nearest(tmp_path: Path) -> None:
    """A deploy event with a misspelt environment is rejected with a remedy."""
    settings = load(tmp_path, "environments: {production: {}, staging: {}}\n")
    with pytest.raises(ConfigError) as caught:
        settings.place("prodution")
    assert "did you mean 'production'?" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("environments: {production: {}}", "production"),
        ("environments: {production: {}, staging: {}}", None),
        ("environment: staging\nenvironments: {production: {}, staging: {}}", "staging"),
        ("{}", None),
    ],
)
def test_the_default_environment_is_the_one_named_or_the_only_one(
    tmp_path: Path, text: str, default: str | None
) -> None:
    """`guardian deploy` may then leave it out."""
    assert load(tmp_path, text).default_environment == default


def test_kafka_is_read_with_its_security(tmp_path: Path) -> None:
    """Brokers may be a list, or one text with commas as other tools write them."""
    kafka = load(
        tmp_path,
        """kafka:
  bootstrap: 'a:9092, b:9093'
  security: {protocol: SASL_SSL, mechanism: PLAIN, username: guardian, password: {env: KAFKA_PASSWORD}, ca: ca.pem}
""",
    ).kafka
    assert kafka is not None
    assert [str(address) for address in kafka.bootstrap] == ["a:9092", "b:9093"]
    assert kafka.security.protocol is Protocol.SASL_SSL
    assert kafka.topics.dead_letter == "deploy-events.dead-letter"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("polices: x", "guardian.yaml:1:1: unknown key 'polices'; did you mean 'policies'?"),
        ("kafka: {bootstrap: [nowhere]}", "'nowhere' is not an address"),
        ("kafka: {bootstrap: ['a:1'], topics: {events: a, decisions: a}}", "two of the topics have one name"),
        ("kafka: {bootstrap: ['a:1'], security: {protocol: SASL_SSL}}", "needs 'username' and 'password'"),
        ("kafka: {bootstrap: ['a:1'], security: {certificate: a.pem}}", "belong together"),
        ("kafka: {}", "key 'bootstrap' is missing in kafka"),
        ("environments: {p: {metrics: {}}}", "metrics come from nowhere"),
        ("environments: {p: {metrics: {url: 'p:9090'}}}", "url: 'p:9090' is not an address; begin it with http://"),
        ("environments: {p: {kubeconfig: a, inCluster: true}}", "exclude each other"),
        ("environments: {p: {haproxy: {edge: {}}}}", "exactly one of 'socket' and 'tcp'"),
        ("environments: {p: {regions: {eu: {clustr: 1}}}}", "did you mean 'cluster'?"),
        ("environments: {p: {regions: {eu: {regions: {a: {}}}}}}", "a region cannot have regions"),
        ("environment: q\nenvironments: {p: {}}", "'q' is not one of 'environments'"),
        ("intervals: {policies: 10}", "duration 10 has no unit"),
        ("limits: {waiting: 0}", "write at least 1"),
        ("limits: {body: big}", "'big' is not a size"),
        ("listen: 80", "80 is not an address"),
        ("log: loud", "'loud' is not allowed; allowed: debug, error, info, warning"),
        ("[]", "guardian.yaml:1:1"),
    ],
)
def test_each_mistake_has_place_and_remedy(tmp_path: Path, text: str, what: str) -> None:
    """A daemon that does not start says what to change."""
    assert what in "\n".join(mistakes(tmp_path, text + "\n"))


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    """Comments only, for a start."""
    assert load(tmp_path, "# nothing yet\n").listen == Address("127.0.0.1", 8080)


def test_a_second_document_is_refused(tmp_path: Path) -> None:
    """It would be ignored in silence."""
    with pytest.raises(ConfigError):
        load(tmp_path, "data: a\n---\ndata: b\n")


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        ("{}", "needs exactly one of 'webhook', 'slack', 'pagerduty', 'email', 'log'"),
        ("{log: true, webhook: {env: X}}", ", not 'webhook', 'log'; write slack: {file: PATH}"),
        ("{slack: 'https://hooks.example/T0/secret'}", "a secret is written here in plain"),
        ("{slack: {env: X}, token: {env: Y}}", "'token' is sent to a webhook, not to slack"),
        ("{pagerduty: {}}", "routing_key"),
        ("{pagerduty: {routing_key: {env: X}, url: events.eu}}", "url"),
        ("{email: {server: mail, from: g@example.org, to: [a@example.org]}}", "'mail' is not an address"),
        ("{email: {server: 'mail:25', from: Guardian, to: [a@example.org]}}", "from"),
        ("{email: {server: 'mail:25', from: g@example.org, to: []}}", "to"),
        ("{email: {server: 'm:25', from: g@e.org, to: [a@e.org], username: g}}", "'username' and 'password' belong"),
        (
            "{email: {server: 'm:25', security: none, from: g@e.org, to: [a@e.org], username: g, password: {env: X}}}",
            "security none sends the password to m:25",
        ),
        ("{log: true, at_most: 30}", "30 is not a limit; write a number and a span, for example 30 in 1h"),
        ("{log: true, at_most: 30 in 1}", "'1' is not a duration"),
        ("{log: true, at_most: 0 in 1h}", "write 1 to 1000 notices in a span above 0"),
        ("{webhook: 'https://hooks.example/T0/secret'}", "a secret is written here in plain"),
        ("{log: true, events: [rolledback]}", "did you mean 'rolled-back'?"),
        ("{log: true, environments: [prod]}", "environment 'prod' is not one of 'environments'"),
    ],
)
def test_a_notifier_that_would_tell_nobody_is_refused(tmp_path: Path, notify: str, said: str) -> None:
    """It would be found out on the night it was needed."""
    (mistake,) = mistakes(tmp_path, f"environments: {{production: {{}}}}\nnotify:\n  oncall: {notify}\n")
    assert said in mistake
    assert "secret'" not in mistake
    assert mistake.startswith("guardian.yaml:3:")


def test_people_are_told_thirty_times_an_hour_at_most_unless_told_otherwise(tmp_path: Path) -> None:
    """Webhooks and logs are read by programs, which do not tire."""
    text = (
        "notify:\n  team: {slack: {env: X}}\n  few: {slack: {env: X}, at_most: 5 in 10m}\n  hook: {webhook: {env: X}}\n"
    )
    notify = load(tmp_path, text).notify
    assert [notify[name].limit for name in ("team", "few", "hook")] == [(30, 3600.0), (5, 600.0), None]


def test_the_monitor_looks_back_ten_days_unless_told_otherwise_or_turned_off(tmp_path: Path) -> None:
    """Without a word about it stable is judged against stable."""
    usual = load(tmp_path, "").monitor
    assert (usual.enabled, usual.over, usual.every) == (True, 10 * 86400.0, 3600.0)
    told = load(tmp_path, "monitor: {over: 3d, every: 10m}\n").monitor
    assert (told.over, told.every) == (3 * 86400.0, 600.0)
    assert not load(tmp_path, "monitor: {enabled: false}\n").monitor.enabled


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "monitor: {over: 30m}",
            "1:17: monitor.over: 'over' is less than 1h; write 1h or more; enabled: false turns it",
        ),
        ("monitor: {every: 5s}", "1:18: monitor.every: 'every' is less than 1m; write 1m or more; enabled: f"),
        ("monitor: {ever: 5m}", "unknown key 'ever' in monitor; did you mean 'every'?"),
        ("monitor: {over: week}", "monitor.over: "),
    ],
)
def test_a_monitor_that_would_press_or_see_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With the place, what is allowed, and how to turn it off."""
    (mistake,) = mistakes(tmp_path, text)
    assert said in mistake


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ("{size: 1KiB}", "'size' is less than 1MiB"),
        ("{part: 1s}", "'part' is less than 10s"),
        ("{age: 1m}", "'age' is less than 'part'"),
        ("{services: checkout}", "services"),
        ("{colour: red}", "colour"),
    ],
)
def test_tapes_within_sensible_bounds(record: str, text: str, tmp_path: Path) -> None:
    """A bound that leaves nothing, or a file a second, is a mistake."""
    with pytest.raises(ConfigError, match=text):
        load(tmp_path, f"record: {record}\n")
