"""What other systems are configured with, after the examples of their own repositories (shortened, in our words)."""

from __future__ import annotations

from pathlib import Path

from guardian.importing.manifests import Manifest, read_manifests

# After docs/features/analysis.md of argoproj/argo-rollouts (010ad55): background analysis.
SUCCESS_RATE = """
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: success-rate}
spec:
  args:
  - name: service-name
  metrics:
  - name: success-rate
    interval: 5m
    successCondition: result >= 0.95
    failureLimit: 3
    provider:
      prometheus:
        address: http://prometheus.example.com:9090
        query: |
          sum(irate(
            istio_requests_total{reporter="source",destination_service=~"{{args.service-name}}",response_code!~"5.*"}[5m]
          )) /
          sum(irate(
            istio_requests_total{reporter="source",destination_service=~"{{args.service-name}}"}[5m]
          ))
"""
GUESTBOOK = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: guestbook}
spec:
  strategy:
    canary:
      analysis:
        templates:
        - templateName: success-rate
        startingStep: 2
        args:
        - name: service-name
          value: guestbook-svc.default.svc.cluster.local
      steps:
      - setWeight: 20
      - pause: {duration: 10m}
      - setWeight: 40
      - pause: {duration: 10m}
      - setWeight: 60
      - pause: {duration: 10m}
      - setWeight: 80
      - pause: {duration: 10m}
"""
# After examples/istio/istio-subset-split.yaml of argoproj/argo-rollouts (e7373d6), with an analysis and pod labels.
SUBSETS = """
apiVersion: v1
kind: Service
metadata: {name: istio-subset-split}
spec: {ports: [{port: 80}]}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: istio-subset-split, namespace: shop, labels: {region: north}}
spec:
  replicas: 5
  strategy:
    canary:
      canaryService: split-canary
      stableService: split-stable
      abortScaleDownDelaySeconds: 30
      trafficRouting:
        istio:
          virtualService: {name: istio-subset-split-vsvc, routes: [primary]}
          destinationRule: {name: rule, canarySubsetName: canary, stableSubsetName: stable}
      steps:
      - setWeight: 10
      - pause: {}
      - setCanaryScale: {replicas: 3}
      - setWeight: 50
      - analysis:
          templates:
          - {templateName: latency, clusterScope: true}
          args:
          - {name: canary, value: split-canary.shop.svc.cluster.local}
          - name: region
            valueFrom: {fieldRef: {fieldPath: "metadata.labels['region']"}}
---
apiVersion: argoproj.io/v1alpha1
kind: ClusterAnalysisTemplate
metadata: {name: latency}
spec:
  args:
  - name: canary
  - name: region
  - {name: limit, value: "0.5"}
  metrics:
  - name: p95
    interval: 60s
    count: 5
    initialDelay: 1m
    successCondition: result[0] <= {{args.limit}}
    failureCondition: result[0] > 0.8
    failureLimit: 1
    provider:
      prometheus:
        query: |
          histogram_quantile(0.95, sum(rate(
            request_duration_seconds_bucket{destination="{{ args.canary }}",region="{{args.region}}"}[2m])) by (le))
"""
# After examples/rollout-bluegreen.yaml of argoproj/argo-rollouts (05a6891).
BLUE_GREEN = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: rollout-bluegreen}
spec:
  strategy:
    blueGreen:
      activeService: rollout-bluegreen-active
      autoPromotionEnabled: false
"""
# After docs/gitbook/usage/how-it-works.md of fluxcd/flagger (061c179).
PODINFO = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo, namespace: test}
spec:
  provider: istio
  progressDeadlineSeconds: 60
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898}
  analysis:
    interval: 1m
    threshold: 10
    maxWeight: 50
    stepWeight: 20
    metrics:
    - name: request-success-rate
      thresholdRange: {min: 99}
      interval: 1m
    - name: request-duration
      thresholdRange: {max: 500}
      interval: 1m
    webhooks:
    - {name: load-test, url: "http://flagger-loadtester.test/"}
"""
# After docs/gitbook/usage/metrics.md of fluxcd/flagger (030c6e5): its Prometheus example.
NOT_FOUND = """
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: not-found-percentage, namespace: istio-system}
spec:
  provider: {type: prometheus, address: "http://prometheus.istio-system:9090"}
  query: |
    100 - sum(rate(istio_requests_total{
      reporter="destination", destination_workload_namespace="{{ namespace }}",
      destination_workload="{{ target }}", response_code!="404"}[{{ interval }}]))
    / sum(rate(istio_requests_total{
      reporter="destination", destination_workload_namespace="{{ namespace }}",
      destination_workload="{{ target }}"}[{{ interval }}])) * 100
"""


def written(folder: Path, *texts: str) -> list[Path]:
    """The texts as files, a.yaml, b.yaml and so on."""
    files = [folder / f"{chr(ord('a') + number)}.yaml" for number, _ in enumerate(texts)]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text.lstrip("\n"), encoding="utf-8")
    return files


def manifests(folder: Path, *texts: str) -> list[Manifest]:
    """The objects of these texts."""
    return read_manifests(written(folder, *texts))
