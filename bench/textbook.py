"""Arcee Fusion as the paper and mergekit write it down, in PyTorch on a GPU: softmax of every row, KL, scores, quartiles,
mask. Its time beside that of branchmerge's kernels (bench/gpu.sh), on the same tensors. Only the benchmark has Python.

    python3 bench/textbook.py TILE_DIRECTORY ROWS COLUMNS [ROWS COLUMNS ...]

Prints JSON: seconds of each shape in the tensors' own dtype, as mergekit computes, and in float32, as the method needs;
what it says of a shape that does not fit is in `error`.
"""

import json
import sys

import torch

REPEATS = 7
EPSILON = 1e-8


def tile(directory, side, elements):
    """The pair's elements over and over, as bench/native/gpu.cc fills tensors with them."""
    with open(f"{directory}/{side}.bf16", "rb") as file:
        values = torch.frombuffer(bytearray(file.read()), dtype=torch.bfloat16).cuda()
    copies = (elements + values.numel() - 1) // values.numel()
    return values.repeat(copies)[:elements]


def quantile(scores, share):
    """The element at floor(share * (n - 1)); torch.quantile takes no more than 2**24 elements."""
    rank = int(share * (scores.numel() - 1))
    return scores.flatten().kthvalue(rank + 1).values


def fuse(left, right, dtype):
    x, y = right.to(dtype), left.to(dtype)
    p = torch.softmax(x, dim=-1) + EPSILON
    q = torch.softmax(y, dim=-1) + EPSILON
    divergence = (p * (p / q).log()).sum(dim=-1, keepdim=True)
    scores = divergence * (y - x).abs()
    first, median, third = (quantile(scores, share) for share in (0.25, 0.5, 0.75))
    return torch.where(scores >= median + 1.5 * (third - first), right, left)


def best_seconds(work):
    work()
    best = float("inf")
    for _ in range(REPEATS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end) / 1e3)
    return best


def measure(directory, rows, columns):
    result = {"rows": rows, "columns": columns}
    try:
        left = tile(directory, "left", rows * columns).view(rows, columns)
        right = tile(directory, "right", rows * columns).view(rows, columns)
        for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
            result[name] = best_seconds(lambda: fuse(left, right, dtype))
    except torch.cuda.OutOfMemoryError as error:
        result["error"] = str(error).splitlines()[0]
    torch.cuda.empty_cache()
    return result


def main():
    directory, *sizes = sys.argv[1:]
    shapes = list(zip(map(int, sizes[::2]), map(int, sizes[1::2])))
    results = [measure(directory, rows, columns) for rows, columns in shapes]
    print(json.dumps({"torch": torch.__version__, "device": torch.cuda.get_device_name(), "shapes": results}))


if __name__ == "__main__":
    main()
