"""Decision rules that are compared, ours first; a new one is a file here and a line in RULES."""

from collections.abc import Mapping
from typing import Final

from benchmarks.detection.rules.argo import Argo, ArgoStrict
from benchmarks.detection.rules.base import Rule
from benchmarks.detection.rules.flagger import Flagger
from benchmarks.detection.rules.group_sequential import GroupSequential
from benchmarks.detection.rules.kayenta import Kayenta
from benchmarks.detection.rules.keptn import Keptn
from benchmarks.detection.rules.naive_z import NaiveZ
from benchmarks.detection.rules.ours import Ours
from benchmarks.detection.rules.sequential import Sequential

OURS: Final = "ours"
RULES: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        Ours(), Argo(), ArgoStrict(), Flagger(), Kayenta(), Keptn(), Sequential(), GroupSequential(), NaiveZ(),
    )
}  # fmt: skip
