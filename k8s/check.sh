#!/bin/sh
# Builds every overlay, and the components on them, and holds the result to Kubernetes' schemas: `make
# k8s-check`. It needs no cluster. What a schema cannot see, such as a selector that selects nothing, shows
# when it is applied.
set -eu
cd "$(dirname "$0")/.."
kustomize="go run sigs.k8s.io/kustomize/kustomize/v5@v5.8.2"
kubeconform="go run github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
kubernetes=k8s.io/kubernetes@v1.33.13
work=bin/k8s # ignored by git, and inside of the repository: kustomize takes relative paths only
mkdir -p $work

schemas=$work/schemas-${kubernetes#*@}
if [ ! -d "$schemas" ]; then
  sources=$(go mod download -json $kubernetes | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  go run ./deploy/acceptance/schemas "$sources/api/openapi-spec/swagger.json" "$schemas.new"
  mv "$schemas.new" "$schemas"
fi

conform() {
  $kubeconform -strict -summary -skip $elsewhere -schema-location "$schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$@"
}

# The kinds of other projects have no schema here; kustomize has at least parsed them.
elsewhere=ScaledObject,TriggerAuthentication,ServiceMonitor,PrometheusRule,KafkaTopic

check() { # NAME, a folder of k8s, and components on it
  name=$1 base=$2
  shift 2
  dir=$work/$name
  mkdir -p "$dir"
  {
    echo "resources: [../../../k8s/$base]"
    echo "components:"
    for c in "$@"; do echo "  - ../../../k8s/components/$c"; done
  } >"$dir/kustomization.yaml"
  $kustomize build "$dir" >"$dir/all.yaml"
  printf '%-16s ' "$name"
  conform "$dir/all.yaml"
}

sh k8s/components/monitoring/alerts.sh | diff k8s/components/monitoring/alerts.yaml - ||
  { echo "alerts.yaml is not what k8s/components/monitoring/alerts.sh makes of the alerts"; exit 1; }

# Schemas that let everything pass would be worse than none.
if printf 'apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {prots: []}\n' | conform - >/dev/null 2>&1; then
  echo "the schemas let a misspelt member pass"
  exit 1
fi

check dev overlays/dev
check dev-extended overlays/dev keda monitoring
check postgres base mosquitto kafka mongodb redis postgres simulator
check listen base mqtt-listen kafka mongodb redis mysql monitoring
check prod overlays/prod
check prod-listen overlays/prod mqtt-listen
check prod-extended overlays/prod keda monitoring
check strimzi components/strimzi
