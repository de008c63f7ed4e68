#!/bin/sh
# Compiles and runs the programs in README.md and docs/tutorial.md and compares what they print.
set -eu
. "$TENON_SOURCE_DIR/tests/docs/common.sh"
status=0
for page in README.md docs/tutorial.md; do
    perl "$TENON_SOURCE_DIR/tests/docs/doctest.pl" "$TENON_SOURCE_DIR/$page" || status=1
done
exit $status
