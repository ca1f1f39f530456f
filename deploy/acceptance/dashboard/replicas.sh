# Runs replicas.ts on what `make up` started, with one replica of query-api more while it runs.
set -eu
. deploy/accept-urls.sh
second=$(docker compose --profile mysql run --detach --rm --no-deps --publish 127.0.0.1::8000 query-api)
trap 'docker stop "$second" >/dev/null' EXIT
REPLICAS="$ACCEPT_HTTP_URL,http://$(docker port "$second" 8000/tcp | head -1)"
export REPLICAS
cd deploy/acceptance/dashboard
for replica in $(echo "$REPLICAS" | tr , ' '); do
  curl --silent --fail --header "Authorization: Bearer $ACCEPT_TOKEN" --retry 60 --retry-delay 1 --retry-all-errors "$replica/api/devices/?limit=1" >/dev/null
done
npm test
