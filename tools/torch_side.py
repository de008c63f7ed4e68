"""The networks of `tenon bench` in PyTorch, and the process that runs them for bench_vs_torch.

PyTorch keeps freed memory (glibc's thresholds are raised), which makes it faster. Data and initial
parameters are drawn anew on each side: the work does not depend on them.
"""
import json
import math
import statistics
import sys
import time

LEARNING_RATE, MOMENTUM = 1e-4, 0.9
VOCABULARY = 65
CHAIN = 1000  # nodes of the overhead chain


# ------------------------------------------------------------------ networks


def networks(torch):
    """name → function(quick) that makes the network."""
    nn, F = torch.nn, torch.nn.functional

    class Unit(nn.Module):
        def __init__(self, kernels, inputs, width, out, stride, project):
            super().__init__()
            layers = []
            channels = inputs
            for i, kernel in enumerate(kernels):
                last = i + 1 == len(kernels)
                here = stride if kernel == 3 and (i == 0 or kernels[0] == 1) else 1
                to = out if last else width
                layers += [nn.Conv2d(channels, to, kernel, here, kernel // 2, bias=False),
                           nn.BatchNorm2d(to)]
                if not last:
                    layers.append(nn.ReLU(inplace=True))
                channels = to
            self.body = nn.Sequential(*layers)
            self.project = nn.Sequential()
            if project:
                self.project = nn.Sequential(nn.Conv2d(inputs, out, 1, stride, bias=False),
                                             nn.BatchNorm2d(out))

        def forward(self, x):
            return F.relu(self.body(x) + self.project(x))

    def mlp(quick):
        return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(),
                             nn.Linear(64, 10))

    def lenet(quick):
        return nn.Sequential(nn.Conv2d(1, 20, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5),
                             nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 500),
                             nn.Tanh(), nn.Linear(500, 10))

    def tail(channels, classes):
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]

    def resnet20(quick):
        width = 2 if quick else 16
        layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
                  nn.ReLU(inplace=True)]
        channels = width
        for stage in range(3):
            for unit in range(3):
                first = stage > 0 and unit == 0
                out = width << stage
                layers.append(Unit((3, 3), channels, out, out, 2 if first else 1, first))
                channels = out
        return nn.Sequential(*layers, *tail(channels, 10))

    def resnet50(quick):
        width = 2 if quick else 64
        layers = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width),
                  nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        channels = width
        for stage, units in enumerate((3, 4, 6, 3)):
            for unit in range(units):
                inner = width << stage
                stride = 2 if stage > 0 and unit == 0 else 1
                layers.append(Unit((1, 3, 1), channels, inner, 4 * inner, stride, unit == 0))
                channels = 4 * inner
        return nn.Sequential(*layers, *tail(channels, 10 if quick else 1000))

    class Characters(nn.Module):
        def __init__(self, units):
            super().__init__()
            self.embed = nn.Embedding(VOCABULARY, units)
            self.lstm = nn.LSTM(units, units, 2)
            self.fc = nn.Linear(units, VOCABULARY)

        def forward(self, x):
            y, _ = self.lstm(self.embed(x))
            return self.fc(y).flatten(0, 1)

    return {"mlp": mlp, "lenet": lenet, "resnet20": resnet20, "resnet50": resnet50,
            "lstm": lambda quick: Characters(8 if quick else 256)}


def batch_of(torch, workload, batch, quick):
    """Data and labels."""
    if workload == "lstm":
        steps = 3 if quick else 32
        return (torch.randint(VOCABULARY, (steps, batch)),
                torch.randint(VOCABULARY, (steps * batch,)))
    classes = 1000 if workload == "resnet50" and not quick else 10
    extent = {"resnet20": 8 if quick else 32, "resnet50": 32 if quick else 224}.get(workload)
    shape = {"mlp": (784,), "lenet": (1, 28, 28)}.get(workload, (3, extent, extent))
    return torch.rand(batch, *shape) * 2 - 1, torch.randint(classes, (batch,))


# ------------------------------------------------------------------ variants


def variants_of(workload, mode, compute):
    if workload == "overhead":
        return ["eager", "in place", "scripted"]
    if workload == "elementwise":
        if mode == "training":
            return ["eager", "silu", "silu autograd.grad"]
        return ["eager", "into tensors", "silu", "silu into tensors", "scripted"]
    convolves = workload in ("lenet", "resnet20", "resnet50")
    if mode == "training":
        return ["eager"] + (["channels_last"] if convolves else ["scripted"])
    variants = ["eager", "frozen"]
    if convolves:
        variants += ["channels_last", "channels_last frozen"]
    if compute == "bfloat16":
        variants += [v + " autocast" for v in variants if "frozen" not in v]
    return variants


def chain_step(torch, variant):
    x = torch.zeros(1)

    def eager(x):
        y = x
        for _ in range(CHAIN):
            y = y + 1.0
        return y

    def in_place(x):
        y = x.clone()
        for _ in range(CHAIN):
            y.add_(1.0)
        return y

    if variant == "scripted":
        scope = {}
        scripted = torch.jit.CompilationUnit(
            "def chain(x):\n    for i in range(%d):\n        x = x + 1.0\n    return x\n" % CHAIN)
        return lambda: scripted.chain(x)
    return (lambda: in_place(x)) if variant == "in place" else (lambda: eager(x))


def elementwise_step(torch, mode, variant, n):
    silu = torch.nn.functional.silu
    x, y, g = torch.rand(n) * 2 - 1, torch.rand(n), torch.ones(n)
    a, b = torch.empty(n), torch.empty(n)
    if mode == "training":
        x.requires_grad_()
        y.requires_grad_()

        def step():
            x.grad = y.grad = None
            z = silu(x) + y if "silu" in variant else x * torch.sigmoid(x) + y
            if "autograd.grad" in variant:
                return torch.autograd.grad(z, (x, y), g)  # y's is g itself, not a copy
            z.backward(g)
        return step

    def into_tensors():
        torch.sigmoid(x, out=a)
        torch.mul(a, x, out=a)
        torch.add(a, y, out=b)

    def silu_into_tensors():
        torch._C._nn.silu(x, out=a)
        torch.add(a, y, out=b)

    if variant == "scripted":
        unit = torch.jit.CompilationUnit("def f(x, y):\n    return x * torch.sigmoid(x) + y\n")
        return lambda: unit.f(x, y)
    return {"eager": lambda: x * torch.sigmoid(x) + y, "silu": lambda: silu(x) + y,
            "into tensors": into_tensors, "silu into tensors": silu_into_tensors}[variant]


def training_step(torch, net, x, labels, compute):
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE, MOMENTUM, foreach=True)
    loss_of = torch.nn.functional.cross_entropy

    def step():
        optimizer.zero_grad(set_to_none=True)
        if compute == "bfloat16":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_of(net(x), labels)
        else:
            loss = loss_of(net(x), labels)
        loss.backward()
        optimizer.step()
    return step


def inference_step(torch, net, x, variant, compute):
    autocast = "autocast" in variant
    net.eval()
    if compute == "bfloat16" and not autocast:
        net = net.bfloat16()
        x = x.bfloat16() if x.is_floating_point() else x
    if "frozen" in variant:
        net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.script(net)))

    def step():
        if not autocast:
            return torch.softmax(net(x), 1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.softmax(net(x), 1)
    return step


def step_of(torch, request):
    """(function of one step, is it inference?)"""
    workload, mode, variant = request["workload"], request["mode"], request["variant"]
    if workload == "overhead":
        return chain_step(torch, variant), True
    if workload == "elementwise":
        step = elementwise_step(torch, mode, variant, request["batch"])
        return step, mode == "inference"
    net = networks(torch)[workload](request["quick"])
    x, labels = batch_of(torch, workload, request["batch"], request["quick"])
    if "channels_last" in variant:
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    if mode == "inference":
        return inference_step(torch, net, x, variant, request["compute"]), True
    if variant == "scripted":
        net = torch.jit.script(net)
    return training_step(torch, net, x, labels, request["compute"]), False


# ------------------------------------------------------------------ measuring


def sample(step, seconds, least):
    """Milliseconds of a step after a warm-up; `least` samples or more, each of at least 50 µs."""
    for _ in range(2):
        start = time.perf_counter()
        step()
        once = time.perf_counter() - start
    begin = time.perf_counter()
    while time.perf_counter() - begin < 0.2 * seconds:
        start = time.perf_counter()
        step()
        once = time.perf_counter() - start
    inner = max(1, math.ceil(5e-5 / max(once, 1e-7)))
    times = []
    begin, used = time.perf_counter(), time.process_time()
    while len(times) < least or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        for _ in range(inner):
            step()
        times.append((time.perf_counter() - start) / inner)
    used = (time.process_time() - used) / (len(times) * inner)
    return {"ms": statistics.median(times) * 1e3, "least_ms": min(times) * 1e3, "cpu_ms": used * 1e3}


def worker():
    """Answers requests, a line each, until the input ends. The last network stays made."""
    import torch
    import warnings
    warnings.filterwarnings("ignore")
    made = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["variant"], request["threads"])  # weights may be packed for so many
        torch.set_num_threads(request["threads"])
        try:
            if request["keep"] not in made:
                made.clear()
            steps = made.setdefault(request["keep"], {})
            if key not in steps:
                steps[key] = step_of(torch, request)
            step, inference = steps[key]
            with torch.inference_mode(inference):
                answer = sample(step, request["seconds"], request["samples"])
        except Exception as problem:  # told to the other side, which goes on without the variant
            answer = {"problem": str(problem).strip().split("\n")[-1] or repr(problem)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    worker()
