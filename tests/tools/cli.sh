# tests/tools/cli.sh: what the tests of the `tenon` command share; they read it with `.`.
# shellcheck shell=sh
#
# A test is a list of checks that go on after a failure; `finish` gives the verdict. Every command
# runs through `tenon`, which keeps its output in $work/out and $work/err and looks for reports of
# sanitizers, so that a crash is never taken for the failure that a test expects.
set -u
: "${TENON_SOURCE_DIR:?}" "${TENON_BUILD_DIR:?}"
unset TENON_PLUGIN_PATH TENON_BACKENDS TENON_NUM_THREADS TENON_NAN OMP_NUM_THREADS TERM
# Threads that wait for work must not take the processors from other tests.
export OMP_WAIT_POLICY=passive

program=$TENON_BUILD_DIR/tools/tenon
data=${TENON_DATA_DIR:-}
failures=0
work=$(cd "$(mktemp -d)" && pwd -P) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
[ -x "$program" ] || { echo "FAILED: $program was not built"; exit 1; }

fail() {
    failures=$((failures + 1))
    echo "FAILED: $*"
}
skip() { echo "  [skipped: $*]"; } # one case; the script goes on
skip_all() { echo "  [skipped: $*]"; exit 77; }
finish() {
    [ "$failures" = 0 ] && exit 0
    echo "$failures checks failed"
    exit 1
}

cached() { sed -n "s/^$1:[A-Z]*=//p" "$TENON_BUILD_DIR/CMakeCache.txt"; }
sanitized() { [ -n "$(cached TENON_SANITIZE)" ]; }
has_backend() { "$program" backends --names | grep -qx "$1"; }

# has_kernels OPERATOR…: some backend here runs each of them.
has_kernels() {
    for operator in "$@"; do
        "$program" ops "$operator" 2>/dev/null | grep -q '^Kernels: *[a-z]*:' || return 1
    done
}

# tenon CODE ARGUMENT…: runs the command, which must exit with CODE.
tenon() {
    wanted=$1
    shift
    command="tenon $*"
    "$program" "$@" >out 2>err </dev/null
    code=$?
    if grep -qE 'Sanitizer|runtime error:' err; then
        fail "$command: $(cat err)"
        return 1
    fi
    [ "$code" = "$wanted" ] && return 0
    fail "$command: exit code $code, wanted $wanted: $(head -n 20 err)"
    return 1
}

# The last command's output or errors must have, or must not have, a line with that pattern.
shown() { # FILE WHETHER PATTERN
    if grep -qE -e "$3" "$1"; then has=yes; else has=no; fi
    [ $has = "$2" ] && return 0
    [ "$2" = yes ] && fail "$command: no \"$3\" in: $(head -n 12 "$1")"
    [ "$2" = no ] && fail "$command: \"$3\" in: $(grep -E -e "$3" "$1" | head -n 5)"
    return 1
}
out() { shown out yes "$1"; }
not_out() { shown out no "$1"; }
err() { shown err yes "$1"; }
# once PATTERN: that is the one line of errors.
once() {
    err "$1" || return 1
    [ "$(wc -l <err)" = 1 ] || fail "$command: not one line of errors: $(cat err)"
}
quiet() { [ ! -s err ] || fail "$command: says: $(head -n 5 err)"; }

# valid_json FILE: with Python's reader, if there is one.
valid_json() {
    if ! command -v python3 >/dev/null || ! python3 -c 'import json.tool' 2>/dev/null; then
        skip "no python3 to read JSON with"
    elif ! python3 -m json.tool <"$1" >/dev/null 2>json_error; then
        fail "$command: not JSON: $(cat json_error)"
    fi
}

# ------------------------------------------------------------------ arrays

# npy FILE SHAPE NUMBER…: float32, shape as Python writes it: "2, 3" or "2,".
npy() {
    file=$1
    header="{'descr': '<f4', 'fortran_order': False, 'shape': ($2), }"
    shift 2
    {
        printf '\223NUMPY\001\000\166\000%-117s\n' "$header"
        # shellcheck disable=SC2059  # octal escapes
        printf "$(printf '%s\n' "$@" | awk '
            { # sign, exponent and fraction of a number that is no denormal
                x = $1 + 0; s = x < 0; if (s) x = -x
                e = 0; f = 0
                if (x > 0) {
                    e = 127
                    while (x >= 2) { x /= 2; e++ }
                    while (x < 1) { x *= 2; e-- }
                    f = int((x - 1) * 8388608 + 0.5)
                }
                printf "\\%03o\\%03o\\%03o\\%03o", f % 256, int(f / 256) % 256,
                       (e % 2) * 128 + int(f / 65536), s * 128 + int(e / 2)
            }')"
    } >"$file"
}

npy_header() { dd if="$1" bs=1 skip=10 count="$(od -An -tu2 -j8 -N2 "$1" | tr -d ' ')" 2>/dev/null; }
npy_shape() { npy_header "$1" | sed "s/.*'shape': (\([^)]*\)).*/\1/"; }
npy_dtype() { npy_header "$1" | sed "s/.*'descr': '.\([a-z0-9]*\)'.*/\1/"; }
npy_values() {
    [ -f "$1" ] || { echo "FAILED: there is no $1" && return; }
    bytes=$(npy_dtype "$1" | tr -d 'a-z')
    skip_bytes=$(($(od -An -tu2 -j8 -N2 "$1") + 10))
    od -An -v -tf"$bytes" -w"$bytes" -j$skip_bytes "$1"
}

# near FILE TOLERANCE NUMBER…: the elements, to within TOLERANCE · max(1, |wanted|).
near() {
    file=$1 tolerance=$2
    shift 2
    [ -f "$file" ] || { fail "$command: there is no $file"; return; }
    npy_values "$file" >got
    printf '%s\n' "$@" >wanted
    near_lists "$file" "$tolerance" got wanted
}
near_lists() { # NAME TOLERANCE GOT WANTED
    if [ "$(wc -l <"$3")" != "$(wc -l <"$4")" ]; then
        fail "$command: $1 has $(wc -l <"$3") elements, wanted $(wc -l <"$4")"
        return
    fi
    paste "$3" "$4" | awk -v t="$2" '
        { d = $1 - $2; if (d < 0) d = -d; m = $2 < 0 ? -$2 : $2; if (m < 1) m = 1 }
        !(d <= t * m) && n++ < 5 { print "element " NR - 1 ": " $1 ", wanted " $2 }' >differences
    [ ! -s differences ] || fail "$command: $1: $(cat differences)"
}

# ------------------------------------------------------------------ networks

# node OP NAME INPUTS [ATTRS]: one node of a symbol file; INPUTS as in "[[0, 0, 0]]".
node() { printf '{"op": "%s", "name": "%s", "attrs": {%s}, "inputs": %s}' "$1" "$2" "${4:-}" "$3"; }
variables() { for v in "$@"; do printf '%s, ' "$(node null "$v" '[]')"; done; }
# network HEAD NODES: a whole file to stdout; HEAD is the node whose output 0 it gives.
network() {
    printf '{"nodes": [%s], "arg_nodes": [], "heads": [[%s, 0, 0]], ' "$2" "$1"
    printf '"attrs": {"mxnet_version": ["int", 10400]}}\n'
}

# data (2,3) → fc1 (2 units) → relu1 → fc2 (2 units) → out. Nodes 0 … 9.
perceptron() {
    network 9 "$(variables data fc1_weight fc1_bias)$(
        node FullyConnected fc1 '[[0, 0, 0], [1, 0, 0], [2, 0, 0]]' '"num_hidden": "2"'), $(
        node Activation relu1 '[[3, 0, 0]]' '"act_type": "relu"'), $(
        variables fc2_weight fc2_bias)$(
        node FullyConnected fc2 '[[4, 0, 0], [5, 0, 0], [6, 0, 0]]' '"num_hidden": "2"'), $(
        variables out_label)$(node SoftmaxOutput out '[[7, 0, 0], [8, 0, 0]]')"
}
