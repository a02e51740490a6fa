"""Arcee Fusion as the paper and mergekit write it down, in PyTorch on a GPU: softmax of every row, KL, scores, quartiles,
mask. Its time beside that of branchmerge's kernels (bench/gpu.sh), on the same tensors. Only the benchmark has Python.

    python3 bench/textbook.py DEVICE TILE_DIRECTORY ROWSxCOLUMNS ...

Prints an object of JSON for each shape, one a line and at once: median seconds in the tensors' own dtype, as mergekit
computes, and in float32, as the method needs; what it says of a shape that does not fit is in `error`.
"""

import json
import statistics
import sys
import time

import torch

REPEATS = 7
MAX_SECONDS = 10  # for all repetitions of one measurement
EPSILON = 1e-8


def tile(directory, side, elements, device):
    """The pair's elements over and over, as bench/native/gpu/kernels.cc fills tensors with them."""
    with open(f"{directory}/{side}.bf16", "rb") as file:
        values = torch.frombuffer(bytearray(file.read()), dtype=torch.bfloat16).to(device)
    copies = (elements + values.numel() - 1) // values.numel()
    return values.repeat(copies)[:elements].contiguous()


def quartiles(scores):
    """The elements at floor(share * (n - 1)). One sort: torch.quantile takes no more than 2**24 elements, and on a GPU
    three calls of kthvalue take longer."""
    ordered = scores.flatten().sort().values
    last = ordered.numel() - 1
    return [ordered[int(share * last)] for share in (0.25, 0.5, 0.75)]


def fuse(left, right, dtype):
    x, y = right.to(dtype), left.to(dtype)
    p = torch.softmax(x, dim=-1) + EPSILON
    q = torch.softmax(y, dim=-1) + EPSILON
    divergence = (p * (p / q).log()).sum(dim=-1, keepdim=True)
    scores = divergence * (y - x).abs()
    first, median, third = quartiles(scores)
    return torch.where(scores >= median + 1.5 * (third - first), right, left)


def once(work):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def median_seconds(work):
    work()
    torch.cuda.synchronize()
    times, started = [], time.monotonic()
    while len(times) < REPEATS and time.monotonic() - started < MAX_SECONDS:
        times.append(once(work))
    return statistics.median(times)


def measure(directory, rows, columns, device):
    result = {"part": "textbook", "torch": torch.__version__, "rows": rows, "columns": columns}
    try:
        left = tile(directory, "left", rows * columns, device).view(rows, columns)
        right = tile(directory, "right", rows * columns, device).view(rows, columns)
        for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
            result[name] = median_seconds(lambda: fuse(left, right, dtype))
    except RuntimeError as error:  # torch.cuda.OutOfMemoryError is one
        result["error"] = str(error).splitlines()[0]
    torch.cuda.empty_cache()
    return result


def main():
    number, directory, *shapes = sys.argv[1:]
    device = torch.device("cuda", int(number))
    torch.cuda.set_device(device)
    for rows, columns in (map(int, shape.split("x")) for shape in shapes):
        result = measure(directory, rows, columns, device)
        print(json.dumps(result), flush=True)
        times = [f"{1000 * result[name]:.1f} ms in {name}" for name in ("bfloat16", "float32") if name in result]
        print(f"{rows:6} x {columns:<6} textbook {', '.join(times)} {result.get('error', '')}", file=sys.stderr)


if __name__ == "__main__":
    main()
