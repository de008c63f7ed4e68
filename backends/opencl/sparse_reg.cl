// backends/opencl/sparse_reg.cl: the gradient of IdentityAttachKLSparseReg. Data is (outer, units,
// inner).
__kernel void move_average(IN(x), OUT(moving), const int outer, const int units, const int inner,
                           const A momentum)
{
    GET(T0, x);
    PUT(T1, moving);
    const int c = (int)get_global_id(0);
    if (c >= units) return;
    A sum = 0;
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) sum += LD0(x, (o * units + c) * inner + i);
    ST1(moving, c, momentum * LD1(moving, c) + (1 - momentum) * sum / ((A)outer * inner));
}

// dx = dy + penalty (-target / average + (1 - target) / (1 - average))
__kernel void add_penalty(IN(dy), IN(moving), OUT(dx), const int size, const int units,
                          const int inner, const A target, const A penalty)
{
    GET(T0, dy);
    GET(T1, moving);
    PUT(T0, dx);
    const int i = (int)get_global_id(0);
    if (i >= size) return;
    const A average = LD1(moving, i / inner % units);
    ST0(dx, i, LD0(dy, i) + penalty * (-target / average + (1 - target) / (1 - average)));
}
