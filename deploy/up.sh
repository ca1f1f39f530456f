#!/bin/sh
# Starts what COMPOSE_PROFILES selects, and waits until all of it is healthy. What keeps it from that is said in a
# line for each container, with what to do, instead of all that docker compose prints.
set -eu
cd "$(dirname "$0")/.."

timeout=600 # seconds, for a server that repairs its data

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# not_started says why docker compose, which printed $1, did not start everything.
not_started() {
  port=$(printf '%s\n' "$1" | sed -n '/already allocated\|already in use/s/.*:\([0-9]\{2,5\}\)\( failed\|: bind\|\/tcp\|:[^:]*: *address\).*/\1/p' | head -n 1)
  [ "$port" ] || fail "$(printf '%s\n' "$1" | tail -n 1)"
  holder=$(docker ps --filter "publish=$port" --format '{{.Names}}' | head -n 1)
  variable=$(cat .env .env.example | sed -n "s/^#\{0,1\}\([A-Z_]*_PORT\)=$port\$/\1/p" | head -n 1)
  case $holder in
  "${COMPOSE_PROJECT_NAME:-telltale}"-*) fail "port $port is taken by $holder, of another profile: make down first" ;;
  esac
  fail "port $port is taken${holder:+ by the container $holder}: stop what has it, or set ${variable:-another port} in .env to a free one"
}

# look puts into waiting the services that are not healthy yet, and into failed a line for each that will not become
# healthy by itself. A service's health check names what it is not ready for, as /readyz?verbose does.
look() {
  waiting= failed=
  for id in $containers; do
    state=$(docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{with .State.Health}}{{.Status}}{{else}}none{{end}} {{.State.ExitCode}} {{.RestartCount}}{{with .State.Health}}{{$out := ""}}{{range .Log}}{{$out = .Output}}{{end}}
{{$out}}{{end}}' "$id")
    read -r service status health code restarts <<END
$state
END
    case $status/$health in running/healthy | running/none) continue ;; esac
    waiting="$waiting $service"
    reason=$(printf '%s\n' "$state" | sed -n '1d; s/.*\[-\]//p' | paste -s -d ';' -)
    [ "$reason" ] || reason=$(printf '%s\n' "$state" | sed '1d; /^$/d' | tail -n 1)
    case $status$restarts/$health/$reason in
    restarting[01]/*) ;;
    restarting* | exited* | dead*) failed="$failed
$service ends with code $code: $(docker logs --tail 1 "$id" 2>&1)" ;;
    *[Aa]uthentication\ failed* | *[Aa]ccess\ denied*) failed="$failed
$service is not ready: $reason (a server keeps the password of its first start: put that into .env, or delete all data with make clean)" ;;
    */unhealthy/*) failed="$failed
$service is not ready: $reason" ;;
    esac
  done
}

# docker-compose.yml puts passwords into URLs, and scripts read .env as a shell does: only characters that mean
# nothing to either will do.
for name in $(sed -n 's/^\([A-Z_]*_PASSWORD\)=.*/\1/p' .env.example); do
  value=$(printenv "$name") || value=$(sed -n "s/^$name=\([\"']\{0,1\}\)\(.*\)\1\$/\2/p" .env | tail -n 1)
  case $value in
  '') fail "$name is empty: delete its line in .env to have one made, or give one" ;;
  *[!A-Za-z0-9._!*+=,~-]*) fail "$name has a character that cannot be in a URL: use letters, digits and . _ ! * + = , ~ -" ;;
  esac
done

echo "starting; the first time it takes some minutes"
out=$(docker compose --progress plain up -d 2>&1) || not_started "$out"
containers=$(docker compose config --services | xargs docker compose ps -aq)
until=$(($(date +%s) + timeout))
while look && [ "$waiting" ]; do
  [ -z "$failed" ] || fail "${failed#?}
make ps shows what runs, make logs what it says"
  [ "$(date +%s)" -lt $until ] || fail "not healthy after $timeout s:$waiting; make logs shows why"
  sleep 2
done
