#!/bin/sh
# Shows that the rows of history can fail. Each patch in the folder red breaks a promise in a copy of the sources: the row that
# it names must fail with an all-in-one built from that, and say what the patch says.
#
# RED=regular expression of the patches' names: only these.
set -eu
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"

for patch in "$PWD"/deploy/acceptance/faults/red/*.patch; do
	basename "$patch" .patch | grep -Eq "${RED:-}" || continue
	row=$(sed -n 's/^Row: //p' "$patch")
	text=$(sed -n 's/^Says: //p' "$patch")
	(cd "$copy" && git apply "$patch")
	if output=$(go run ./deploy/acceptance/faults -fault "^$row\$" -all-in-one "$copy" -catch-up 5s); then
		echo "$output"
		echo "faults-red-history: $row passes with $(basename "$patch")" >&2
		exit 1
	fi
	echo "$output"
	echo "$output" | grep -q "$text" || {
		echo "faults-red-history: $row does not say \"$text\"" >&2
		exit 1
	}
	(cd "$copy" && git apply -R "$patch")
done
echo "faults-red-history: the rows fail, as they must"
