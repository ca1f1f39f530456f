#!/bin/sh
# Prints deploy/prometheus/alerts.yml as the Prometheus operator takes it. After a change of the alerts:
#   sh k8s/components/monitoring/alerts.sh >k8s/components/monitoring/alerts.yaml
# kustomize cannot put a file into a resource; k8s/check.sh sees to it that the copy is one.
set -eu
cd "$(dirname "$0")/../../.."
cat <<END
# Made from deploy/prometheus/alerts.yml by alerts.sh.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: telltale
spec:
END
sed 's/^./  &/' deploy/prometheus/alerts.yml
