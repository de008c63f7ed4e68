#!/bin/sh
# docs/json.md names every key that the commands print with --json, and the kinds of gradient.
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"
command -v python3 >/dev/null || skip_all "no python3 here"

network 2 "$(variables data label)$(node SoftmaxOutput o '[[0, 0, 0], [1, 0, 0]]')" >net.json
keys() { # keys SECTION: those of out stand in that section of the page
    python3 - "$TENON_SOURCE_DIR/docs/json.md" "$1" <<'END' >said 2>&1 || fail "$1: $(cat said)"
import json, re, sys
page = open(sys.argv[1], encoding='utf-8').read()
section = [s for s in re.split(r'^## ', page, flags=re.M) if s.startswith(sys.argv[2] + '\n')]
assert len(section) == 1, 'no such section'
named = set(re.findall(r'`([a-z_A-Z]+)`', section[0]))
seen, missing = set(), set()
def look(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            seen.add(key)
            if key not in named and key not in dtypes: missing.add(key)
            look(inner)
    elif isinstance(value, list):
        for inner in value: look(inner)
dtypes = 'float32 float64 float16 uint8 int32 int8 int64 bool bfloat16'.split()
out = json.load(open('out'))
look(out)
kinds = {op['gradient'] for op in out} if sys.argv[2] == 'tenon ops' else set()
missing |= {kind for kind in kinds if kind not in named}
assert len(seen) > 8, seen
assert not missing, 'not on the page: %s' % sorted(missing)
END
}

tenon 0 ops --all --json && keys 'tenon ops'
TENON_PLUGIN_PATH=$work/absent tenon 0 backends --json && keys 'tenon backends'
tenon 0 bench mlp overhead graph --quick --nodes 100 --profile --json --backend reference \
    --trace trace.json && keys 'tenon bench'
mv trace.json out && keys 'tenon bench'
# Parts, copies and refusals, and a layout where there is a backend with one.
tenon 0 show net.json --shape data=2,3 --shape label=2 --train --json --backend null,reference &&
    keys 'The placement report'
if has_backend onednn; then
    network 2 "$(variables data c_weight)$(node Convolution c '[[0, 0, 0], [1, 0, 0]]' \
        '"kernel": "(1, 1)", "num_filter": "2", "no_bias": "True"')" >conv.json
    tenon 0 show conv.json --shape data=1,3,4,4 --inputs data --json --backend onednn,reference &&
        keys 'The placement report'
fi

finish
