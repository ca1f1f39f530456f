#!/bin/sh
# Builds every overlay, as it is and with other components, and holds the result to Kubernetes' schemas: `make
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

# check builds an overlay, with the edits that somebody might make to its kustomization.yaml.
check() { # NAME, overlay, and editing commands of sed
  name=$1 overlay=$work/$1/k8s/overlays/$2
  shift 2
  rm -rf "${work:?}/$name"
  mkdir -p "$work/$name/deploy"
  cp -r k8s "$work/$name/"
  cp -r deploy/mosquitto deploy/images deploy/grafana "$work/$name/deploy/"
  for edit in "$@"; do
    sed -i.before "$edit" "$overlay/kustomization.yaml"
    if cmp -s "$overlay/kustomization.yaml" "$overlay/kustomization.yaml.before"; then
      echo "$name: there is nothing to edit by $edit"
      exit 1
    fi
  done
  # With a registry and a version of their own: what still has those of the repository is not named by that file.
  printf 'IMAGE_REGISTRY=registry.example.com:5000/a/b\nIMAGE_TAG=v1.2.3\n' >"$work/$name/deploy/images/images.env"
  if [ -e "$overlay/ingress-controller.env" ]; then
    printf 'NAMESPACE=of-the-gate\nNAME=the-gate\n' >"$overlay/ingress-controller.env"
    set -- 'metadata.name: of-the-gate$' 'app.kubernetes.io/name: the-gate$'
  else
    set --
  fi
  build "$overlay"
  for line in "$@"; do
    grep -q "$line" "$work/$name/all.yaml" || { echo "$name: not the ingress controller of ingress-controller.env is admitted"; exit 1; }
  done
  if grep 'image: telltale/' "$work/$name/all.yaml" || ! grep -q 'image: registry.example.com:5000/a/b/query-api:v1.2.3$' "$work/$name/all.yaml"; then
    echo "$name: images are not named by deploy/images/images.env"
    exit 1
  fi
}

build() { # a folder; the result is in $work/$name
  $kustomize build "$1" >"$work/$name/all.yaml"
  printf '%-16s ' "$name"
  conform "$work/$name/all.yaml"
}

add() { # component; prod has them, commented out
  printf '%s' "s|^components:|&\n  - ../../components/$1|"
}

uncomment() { # component
  printf '%s' "s|^#\( *- ../../components/$1\)|\1|"
}

sh k8s/components/monitoring/alerts.sh | diff k8s/components/monitoring/alerts.yaml - ||
  { echo "alerts.yaml is not what k8s/components/monitoring/alerts.sh makes of the alerts"; exit 1; }

# Schemas that let everything pass would be worse than none.
if printf 'apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {prots: []}\n' | conform - >/dev/null 2>&1; then
  echo "the schemas let a misspelt member pass"
  exit 1
fi

check dev dev
check dev-extended dev "$(add keda)" "$(add monitoring)"
check dev-postgres dev 's|components/mysql .*|components/postgres|'
check dev-listen dev 's|components/mosquitto|components/mqtt-listen|' '/components.simulator/d' "$(add monitoring)"
check prod prod
check prod-extended prod "$(uncomment keda)" "$(uncomment monitoring)" "$(uncomment dashboards)"
check prod-listen prod "$(uncomment mqtt-listen)" "$(uncomment mqtt-tls)" '/^#  - patch/,/^$/s|^#||'
name=strimzi
mkdir -p $work/$name
build k8s/components/strimzi
