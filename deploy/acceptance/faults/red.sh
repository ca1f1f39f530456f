#!/bin/sh
# Shows that the fault tests can fail: they must lose readings with services that acknowledge before they
# write, and in a power cut with an all-in-one that syncs nothing. The services are built from a copy of the
# sources with ack-before-write.patch in it; all-in-one is as it is, and strace takes the syncs away.
set -eu
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
patch=$PWD/deploy/acceptance/faults/ack-before-write.patch
(cd "$copy" && git apply "$patch")

rows='kill-mqtt-bridge-without-kafka kill-ingest-writer-without-mongo power-cut seal-power-cut'
# What is lost does not come; what is only late is there when the services have drained, which is waited for too.
output=$(go run ./deploy/acceptance/faults -fault "^($(echo "$rows" | tr ' ' '|'))\$" -source "$copy" -unsynced -catch-up 5s) || true
echo "$output"
for row in $rows; do
	echo "$output" | awk -v row="$row" '$1 == row && $NF == "FAIL" && $8 + 0 > 0 { lost = 1 } END { exit !lost }' || {
		echo "faults-red: $row loses nothing" >&2
		exit 1
	}
done
echo "faults-red: the rows fail, as they must"
