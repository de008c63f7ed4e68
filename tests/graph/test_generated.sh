#!/bin/sh
# tests/graph/test_generated.sh: the committed header and reference of the operators are what their
# declarations give, and the header's structs are laid out as the core reads them.
set -eu
: "${TENON_SOURCE_DIR:?}" "${TENON_BUILD_DIR:?}"
fail() { echo "FAILED: $1"; exit 1; }

genops=$TENON_BUILD_DIR/tools/genops
header=$TENON_SOURCE_DIR/include/tenon/ops.h
[ -x "$genops" ] || fail "$genops was not built"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$genops" --check header "$header" || fail "the header is not fresh"
"$genops" --check docs "$TENON_SOURCE_DIR/docs/operators.md" || fail "the reference is not fresh"

# A check that cannot fail is none: one byte more, one less, another one.
head -c 1000 "$header" >"$work/short.h"
{ cat "$header"; echo; } >"$work/long.h"
sed '40s/./#/' "$header" >"$work/other.h"
for file in short long other; do
    if "$genops" --check header "$work/$file.h" 2>"$work/text"; then fail "$file.h passes"; fi
    grep -q "$file.h:[0-9]*: is not what" "$work/text" || fail "$file.h: $(cat "$work/text")"
done
if "$genops" --check header "$work/absent.h" 2>/dev/null; then fail "an absent file passes"; fi

widest=$(awk 'length($0) > 100 { n++ } END { print n + 0 }' "$header")
[ "$widest" = 0 ] || fail "$widest lines of the header are longer than 100"

# A constructor must not take the name of a function or macro of another header.
sed -n 's/^#define \(tn_[a-z0-9_]*\)(.*/\1/p' "$header" | sort >"$work/constructors"
for file in "$TENON_SOURCE_DIR"/include/tenon/*.h; do
    [ "$file" = "$header" ] || sed 's,//.*,,' "$file"
done | grep -o 'tn_[a-z0-9_]*(' | tr -d '(' | sort -u >"$work/names"
[ "$(wc -l <"$work/constructors")" -gt 100 ] || fail "too few constructors"
taken=$(comm -12 "$work/constructors" "$work/names")
[ -z "$taken" ] || fail "names that are taken: $taken"

cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$TENON_BUILD_DIR/CMakeCache.txt")
"$genops" asserts "$work/asserts.c"
[ "$(grep -c _Static_assert "$work/asserts.c")" -gt 500 ] || fail "too few assertions"
"$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$TENON_SOURCE_DIR/include" -fsyntax-only \
    "$work/asserts.c" || fail "the structs are not laid out as the core reads them"
