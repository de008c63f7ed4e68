#!/bin/sh
# tests/tools/test_bench.sh: `tenon bench` with tiny sizes: every network runs, and what is said of
# it holds together. Nothing here asserts a speed.
# shellcheck source=tests/tools/cli.sh
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

# json FILE CODE: Python with the file as `j` must find CODE's assertions true.
json() {
    if ! command -v python3 >/dev/null || ! python3 -c 'import json' 2>/dev/null; then
        skip "no python3 to read JSON with"
    elif ! python3 -c "import json, sys
j = json.load(open(sys.argv[1]))
$2" "$1" 2>problem; then
        fail "$command: $(tail -n 1 problem) in: $(head -c 2000 "$1")"
    fi
}

echo "== every network, for a reader"
networks="mlp lenet resnet20 resnet50 lstm elementwise"
tenon 0 bench all --quick --seconds 0 && quiet && out '^overhead: 10 scalar additions'
for name in $networks; do
    out "^$name inference, batch [0-9]+, float32$"
    out "^$name training, batch [0-9]+, float32$"
done
out '^  [0-9]+ nodes?: .*blas' && out 'planned .*, lower bound .*, one place for each value' &&
    out ' [0-9]+ timings; .* samples/s$' && out 'peak RSS [0-9.]+ MB' &&
    not_out 'measured by row' && not_out 'large dot' # which would be a small one

echo "== every network, for programs"
lists="blas,reference reference"
# A leak check cannot walk through oneDNN's threads.
has_backend onednn && ! sanitized && lists="$lists onednn,blas,reference"
for backend in $lists; do
    # shellcheck disable=SC2086  # words
    tenon 0 bench $networks --quick --seconds 0 --profile --json --trace trace.json \
        --backend $backend && quiet
    json out "
assert [(r['workload'], r['mode']) for r in j] == [
    (w, m) for w in '$networks'.split() for m in ('inference', 'training')]
for r in j:
    assert 0 < r['min_ms'] <= r['median_ms'] <= r['max_ms'] and r['samples'] >= 3, 'times'
    assert r['cpu_ms'] > 0, 'processor time'
    assert r['samples_per_s'] > 0 and r['peak_rss_bytes'] > 1e6 and r['backends'] == '$backend'
    assert r['planned_bytes'] >= r['lower_bound_bytes'] >= 0, 'plan'
    assert r['naive_bytes'] >= r['lower_bound_bytes'] and r['external_bytes'] > 0, 'memory'
    assert r['allocations'] in (0, None), 'allocations'
    assert r['peak_share'] is None, 'peak'
    if r['gflop']: assert r['gflop_per_s'] > 0, 'flops'
    else: assert r['workload'] == 'elementwise' and r['mode'] == 'training'
    rows = r['profile']
    assert rows and all(x['name'] and x['op'] and x['device'] for x in rows), 'rows'
    assert all(x['once'] or x['runs'] == r['profile_steps'] for x in rows), 'runs'
    assert {x['pass'] for x in rows} <= {'forward', 'backward', 'update'}
    total = r['profile_sum_ms']
    assert 0 < total <= r['profile_wall_ms'], 'more than there was'
    for key in 'profile', 'implementations', 'devices':
        assert abs(sum(x['ms'] for x in r[key]) - total) <= 1e-6 * total + 1e-9, key
        assert abs(sum(x['share'] for x in r[key]) - 1) < 1e-6, key
    assert {x['device'] for x in r['devices']} <= set('$backend,host'.split(',')), 'devices'
    updates = [x for x in rows if x['pass'] == 'update']
    learns = r['mode'] == 'training' and r['workload'] != 'elementwise'
    assert bool(updates) == learns, 'updates'
"
    [ -f trace.json ] || fail "$command: no trace.json"
    json trace.json "
events = [e for e in j['traceEvents'] if e['ph'] == 'X']
assert len({e['pid'] for e in events}) == 12 and all(e['dur'] >= 0 for e in events)
assert all(isinstance(e['pid'], int) and isinstance(e['tid'], int) for e in j['traceEvents'])
titles = [e for e in j['traceEvents'] if e['ph'] == 'M']
assert len([e for e in titles if e['name'] == 'process_name']) == 12
assert ({(e['pid'], e['tid']) for e in events} <=
        {(e['pid'], e['tid']) for e in titles if e['name'] == 'thread_name'})
for pid in {e['pid'] for e in events}:
    row = sorted((e['ts'], e['ts'] + e['dur']) for e in events if e['pid'] == pid)
    assert all(a[1] <= b[0] + 1e-3 for a, b in zip(row, row[1:])), 'rows overlap'
"
done

echo "== flops are those of the layers"
# 2 (784·128 + 128·64 + 64·10) a sample forward; the weights' gradients as much again; those of the
# data not for the first layer.
tenon 0 bench mlp --quick --seconds 0 --batch 3 --json --no-peak
json out "
forward = 2 * 3 * (784 * 128 + 128 * 64 + 64 * 10)
assert j[0]['batch'] == 3 and j[0]['peak_share'] is None
assert abs(j[0]['gflop'] * 1e9 - forward) < 1, j[0]['gflop']
assert abs(j[1]['gflop'] * 1e9 - (3 * forward - 2 * 3 * 784 * 128)) < 1, j[1]['gflop']
assert 'profile' not in j[0] and 'trace' not in j[0]
"

echo "== options"
tenon 0 bench mlp --quick --seconds 0 --mode training --runs 5 --dtype float64 --threads 1 \
    --backend reference --json
json out "
assert len(j) == 1 and j[0]['mode'] == 'training' and j[0]['samples'] == 5
assert j[0]['dtype'] == 'float64' and j[0]['threads'] == 1
"
tenon 0 bench lenet --quick --seconds 0 --mode inference --compute bf16 --json
json out "assert j[0]['dtype'] == 'float32' and j[0]['compute'] == 'bfloat16'"
tenon 0 bench lenet --quick --seconds 0 --mode inference --compute bf16 &&
    out '^lenet inference, batch 2, float32, bfloat16 allowed$'
tenon 0 bench mlp --seconds 0 --batch 4 --mode inference &&
    out 'GFLOP/s: .* of the .* that a large dot reaches'
# What was used, where nobody asked for anything.
TENON_NUM_THREADS=3 TENON_BACKENDS=reference,blas \
    tenon 0 bench mlp --quick --seconds 0 --mode inference --json
json out "assert j[0]['threads'] == 3 and j[0]['backends'] == 'reference,blas', j[0]"
tenon 0 bench mlp --quick --seconds 0 --mode inference --group first=reference \
    --group second=blas --backend reference --no-peak
out 'nodes: .*blas' && out 'reference'
tenon 0 bench graph --quick && out '^bind .* ratio ' && out ' 50 +100 nodes'
tenon 2 bench mlp --mode sideways && err '\-\-mode: wanted inference or training'
tenon 2 bench mlp --dtype float31 && err 'no dtype "float31"'
tenon 2 bench mlp --group first && err '\-\-group: wanted NAME=DEVICE'
# Told once, and before anything is measured.
tenon 1 bench mlp lenet --quick --backend absent && once 'backends "absent": no backend' && not_out .
tenon 1 bench mlp --quick --group first=absent --group second=blas && not_out . &&
    once '^tenon bench: --group first: backends "absent": no backend'
tenon 2 bench overhead --quick --trace t.json && err '\-\-trace: of networks only, and overhead'
tenon 2 bench overhead graph --quick --profile && err '\-\-profile: of networks only'
tenon 1 bench mlp --quick --trace absent/trace.json && not_out . &&
    once '\-\-trace absent/trace.json: No such file'
tenon 2 bench mlp --quick --group first=blas &&
    err '\-\-group: wanted devices for both, first and second; second has none'
tenon 2 bench mlp --group third=blas && err 'no group "third"; there are first and second'

echo "== groups of a network in a file"
network 2 "{\"op\": \"null\", \"name\": \"x\", \"attrs\": {\"__shape__\": \"(2, 3)\"}, \"inputs\": []},
    $(node tanh t '[[0, 0, 0]]' '"__ctx_group__": "early"'), $(node exp e '[[1, 0, 0]]')" >net.json
tenon 0 run net.json --group early=reference --backend reference && out '^e_output \(2,3\)'
tenon 1 run net.json --group early=absent --backend reference &&
    once '^tenon run: --group early: backends "absent": no backend "absent"'
for device in reference absent; do
    tenon 1 run net.json --group late=$device --backend reference &&
        once '\-\-group late: no node has that __ctx_group__; there are: early$'
done
perceptron >plain.json
tenon 1 run plain.json --group late=reference && once 'no node has that .*; there are: none$'
tenon 2 run net.json --group early && err '\-\-group: wanted NAME=DEVICE'

finish
