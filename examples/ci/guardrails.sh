#!/usr/bin/env bash
# Is the policy of this branch worse than that it began from? Both judge the same simulated incidents.
#
#   guardrails.sh BASE POLICY [SCENARIOS]     for example: guardrails.sh origin/main policies/checkout.yaml incidents
#
# BASE       branch that this one goes to: what both have in common (their merge base) is compared with
# POLICY     policy file, a path in the repository
# SCENARIOS  folder with your incidents; the shipped library when left out
# SEEDS      runs of each incident (environment; default 20)
#
# Prints the table for people and writes it to guardrails.md.
# Exit code: 0 not worse, 3 proved worse, 1 or 2 something else is wrong.
set -euo pipefail
base=$1 policy=$2 scenarios=${3:-}
measure=(guardian bench guardrails --seeds "${SEEDS:-20}" --quiet ${scenarios:+--scenarios "$scenarios"})

base=$(git merge-base "$base" HEAD) || {
    echo "$1 and this branch have no commit in common here: fetch both with their whole history" >&2
    exit 2
}
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
if git cat-file -e "$base:$policy" 2>/dev/null; then
    git show "$base:$policy" >"$before/policy.yaml"
    "${measure[@]}" --policy "$before/policy.yaml" --output json >"$before/baseline.json"
    compare=(--compare "$before/baseline.json")
else
    echo "$policy is not in ${base:0:12}: measured, compared with nothing" >&2
    compare=()
fi
status=0
"${measure[@]}" --policy "$policy" "${compare[@]}" --output markdown >"$before/table.md" || status=$?
[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || exit "$status"
{
    [ "$status" -eq 0 ] && echo "### Guardrails: no worse" || echo "### Guardrails: worse"
    echo
    cat "$before/table.md"
} | tee guardrails.md
exit "$status"
