// backends/opencl/ctc.cl: the CTC loss and its gradient, in logarithms, as
// backends/reference/reference_ctc.c has the formulas.
//
// T0: data (steps, n, classes), T1: labels (n, letters), T2, T3: lengths. In scratch, with P places
// for each sequence and S steps:
//
//     norm(n, S, 2)    largest element of a step and log of the sum behind it: q = x - both
//     letter(n, P)     labels with blanks before, between and behind them
//     state(n, 4)      steps, places, is the label one?, is there a gradient?
//     alpha, beta(n, S, P)
typedef struct ctc {
    int steps, n, classes, letters, places;
    int blank, first; // first: smallest label
    int data_lengths, label_lengths;
} ctc;

enum { STEPS, PLACES, VALID, TAUGHT };

// Steps, places and letters of sequence n.
__kernel void read_labels(IN(label), IN(data_lengths), IN(label_lengths), OUT(letter), OUT(state),
                          const ctc c)
{
    GET(T1, label);
    GET(T2, data_lengths);
    GET(T3, label_lengths);
    PUT(int, letter);
    PUT(int, state);
    const int n = (int)get_global_id(0);
    if (n >= c.n) return;
    int m = c.letters, places = 1, valid = 1;
    __global int *to = letter + n * c.places, *s = state + n * 4;
    s[STEPS] = c.data_lengths ? (int)clamp(WHOLE2(data_lengths, n), 0L, (long)c.steps) : c.steps;
    if (c.label_lengths) m = (int)clamp(WHOLE3(label_lengths, n), 0L, (long)m);
    to[0] = c.blank;
    for (int j = 0; j < m && valid; j++) {
        const long v = WHOLE1(label, n * c.letters + j);
        if (v < c.first && !c.label_lengths) break;
        valid = v >= c.first && v < c.classes && v != c.blank;
        if (!valid) break;
        to[places++] = (int)v;
        to[places++] = c.blank;
    }
    s[PLACES] = places;
    s[VALID] = valid;
}

__kernel void normalise(IN(data), OUT(norm), const ctc c)
{
    GET(T0, data);
    PUT(A, norm);
    const int id = (int)get_global_id(0); // (steps, n)
    if (id >= c.steps * c.n) return;
    A largest = -INFINITY, sum = 0;
    for (int i = 0; i < c.classes; i++) {
        const A v = LD0(data, id * c.classes + i);
        if (v > largest) largest = v;
    }
    for (int i = 0; i < c.classes; i++) sum += exp(LD0(data, id * c.classes + i) - largest);
    __global A *to = norm + (id % c.n * c.steps + id / c.n) * 2;
    to[0] = largest;
    to[1] = log(sum);
}

// log softmax of the data: q[t, k] of sequence n
A q_of(const ctc *c, const __global T0 *data, const __global A *norm, int n, int t, int k)
{
    const __global A *of = norm + (n * c->steps + t) * 2;
    return LD0(data, (t * c->n + n) * c->classes + k) - of[0] - of[1];
}

// log (exp a + exp b), also of -infinity
A log_add(A a, A b)
{
    const A high = a > b ? a : b, low = a > b ? b : a;
    return high == -INFINITY ? high : high + log1p(exp(low - high));
}

// May a path go from place s - 2 to place s at once?
int may_skip(const __global int *letter, int s)
{
    return s % 2 == 1 && s >= 3 && letter[s] != letter[s - 2];
}

// alpha, and the loss: a group for each sequence, steps one after the other.
__kernel void forward(IN(data), IN(norm), IN(letters), OUT(state), OUT(alpha), OUT(loss),
                      const ctc c)
{
    GET(T0, data);
    GET(A, norm);
    GET(int, letters);
    PUT(int, state);
    PUT(A, alpha);
    PUT(T0, loss);
    const int n = (int)get_group_id(0), me = (int)get_local_id(0);
    const int size = (int)get_local_size(0);
    __global int *of = state + n * 4;
    const int steps = of[VALID] ? of[STEPS] : 0, places = of[PLACES];
    const __global int *letter = letters + n * c.places;
    for (int t = 0; t < steps; t++) {
        __global A *now = alpha + (n * c.steps + t) * c.places;
        const __global A *before = now - c.places;
        for (int s = me; s < places; s += size) {
            A sum = t == 0 ? (s < 2 ? (A)0 : (A)-INFINITY) : before[s];
            if (t > 0 && s >= 1) sum = log_add(sum, before[s - 1]);
            if (t > 0 && may_skip(letter, s)) sum = log_add(sum, before[s - 2]);
            now[s] = sum + q_of(&c, data, norm, n, t, letter[s]);
        }
        barrier(CLK_GLOBAL_MEM_FENCE);
    }
    if (me) return;
    const __global A *end = alpha + (n * c.steps + steps - 1) * c.places + places;
    A found = of[VALID] && of[STEPS] == 0 && places == 1 ? (A)0 : (A)INFINITY;
    if (steps > 0) found = -(places == 1 ? end[-1] : log_add(end[-1], end[-2]));
    ST0(loss, n, found);
    of[TAUGHT] = found != INFINITY; // NaN is shown
}

// beta: what follows after each step, from the last on.
__kernel void backward(IN(data), IN(norm), IN(letters), IN(state), OUT(beta), const ctc c)
{
    GET(T0, data);
    GET(A, norm);
    GET(int, letters);
    GET(int, state);
    PUT(A, beta);
    const int n = (int)get_group_id(0), me = (int)get_local_id(0);
    const int size = (int)get_local_size(0);
    const int steps = state[n * 4 + TAUGHT] ? state[n * 4 + STEPS] : 0;
    const int places = state[n * 4 + PLACES];
    const __global int *letter = letters + n * c.places;
    for (int t = steps - 1; t >= 0; t--) {
        __global A *now = beta + (n * c.steps + t) * c.places;
        const __global A *next = now + c.places;
        for (int s = me; s < places; s += size) {
            A sum = s + 2 < places ? (A)-INFINITY : (A)0;
            if (t + 1 < steps) {
                sum = next[s] + q_of(&c, data, norm, n, t + 1, letter[s]);
                if (s + 1 < places)
                    sum = log_add(sum, next[s + 1] + q_of(&c, data, norm, n, t + 1, letter[s + 1]));
                if (s + 2 < places && may_skip(letter, s + 2))
                    sum = log_add(sum, next[s + 2] + q_of(&c, data, norm, n, t + 1, letter[s + 2]));
            }
            now[s] = sum;
        }
        barrier(CLK_GLOBAL_MEM_FENCE);
    }
}

// softmax, which is the gradient of classes that are not in the label; 0 behind the last step.
__kernel void put_softmax(IN(data), IN(norm), IN(state), OUT(grad), const ctc c)
{
    GET(T0, data);
    GET(A, norm);
    GET(int, state);
    PUT(T0, grad);
    const int k = (int)get_global_id(0), n = (int)get_global_id(1), t = (int)get_global_id(2);
    if (k >= c.classes) return;
    const int taught = state[n * 4 + TAUGHT] && t < state[n * 4 + STEPS];
    ST0(grad, (t * c.n + n) * c.classes + k, taught ? exp(q_of(&c, data, norm, n, t, k)) : (A)0);
}

// The classes of the label: the first place of each puts softmax less the paths through all of its
// places. loss = -log sum of exp (alpha + beta) at any step.
__kernel void put_letters(IN(data), IN(norm), IN(letters), IN(state), IN(alpha), IN(beta),
                          OUT(grad), const ctc c)
{
    GET(T0, data);
    GET(A, norm);
    GET(int, letters);
    GET(int, state);
    GET(A, alpha);
    GET(A, beta);
    PUT(T0, grad);
    const int place = (int)get_global_id(0), n = (int)get_global_id(1), t = (int)get_global_id(2);
    const int steps = state[n * 4 + STEPS], places = state[n * 4 + PLACES];
    if (place >= places || t >= steps || !state[n * 4 + TAUGHT]) return;
    const __global int *letter = letters + n * c.places;
    const int k = letter[place];
    for (int s = 0; s < place; s++)
        if (letter[s] == k) return;
    const __global A *a = alpha + (n * c.steps + t) * c.places;
    const __global A *b = beta + (n * c.steps + t) * c.places;
    const __global A *end = alpha + (n * c.steps + steps - 1) * c.places + places;
    const A loss = -(places == 1 ? end[-1] : log_add(end[-1], end[-2]));
    A sum = 0;
    for (int s = place; s < places; s++)
        if (letter[s] == k) sum += exp(a[s] + b[s] + loss);
    ST0(grad, (t * c.n + n) * c.classes + k, exp(q_of(&c, data, norm, n, t, k)) - sum);
}
