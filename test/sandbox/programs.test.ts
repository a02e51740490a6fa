import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSandbox } from '../../lib/sandbox/openSandbox.js'
import type { Program, ProgramInput, ProgramRunner } from '../../lib/sandbox/program.js'
import { environments, sandboxIn } from '../support/sandboxes.js'

const limits = { seconds: 10, memoryBytes: 4 * 2 ** 30, outputBytes: 2 ** 20 }

interface Style extends Program {
  name: string
  input: ProgramInput
  stdout?: string
  value?: string
}

const stdin = '3\n1 2\n3 4\n5 6\n'
const sums = '3\n7\n11\n'
/** Programs that print the sums of the pairs in `stdin`, each in another way that is in use. */
const sumStyles: Record<string, string> = {
  input: 'for _ in range(int(input())):\n    print(sum(map(int, input().split())))',
  'for line in sys.stdin': 'import sys\nnext(sys.stdin)\nfor line in sys.stdin: print(sum(map(int, line.split())))',
  'sys.stdin.readline':
    'import sys\ninput = sys.stdin.readline\nfor _ in range(int(input())): print(sum(map(int, input().split())))',
  'sys.stdin.buffer.readline':
    'import sys\nr = sys.stdin.buffer.readline\nfor _ in range(int(r())): print(sum(map(int, r().split())))',
  'sys.stdin.buffer.read':
    'import sys\nn, *x = map(int, sys.stdin.buffer.read().split())\nfor i in range(n): print(x[2*i] + x[2*i+1])',
  'sys.stdin.read and splitlines':
    'import sys\nn, *rows = sys.stdin.read().splitlines()\nprint(*(sum(map(int, r.split())) for r in rows), sep="\\n")',
  'open(0)': 'n, *x = map(int, open(0).read().split())\nfor i in range(n): print(x[2*i] + x[2*i+1])',
  'os.read(0)': 'import os\nn, *x = map(int, os.read(0, 1 << 20).split())\nfor i in range(n): print(x[2*i] + x[2*i+1])',
  'os.read of the size that fstat tells':
    'import io, os\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\nfor _ in range(int(input())): print(sum(map(int, input().split())))',
  'mmap of stdin':
    'import mmap\nn, *x = map(int, mmap.mmap(0, 0, prot=mmap.PROT_READ).read().split())\nfor i in range(n): print(x[2*i] + x[2*i+1])',
  fileinput:
    'import fileinput\nfor i, line in enumerate(fileinput.input()):\n    if i: print(sum(map(int, line.split())))',
  'until EOFError': 'input()\ntry:\n    while True: print(sum(map(int, input().split())))\nexcept EOFError: pass',
  'sys.stdout.buffer.write':
    'import sys\nn, *x = map(int, sys.stdin.read().split())\nfor i in range(n): sys.stdout.buffer.write(b"%d\\n" % (x[2*i] + x[2*i+1]))',
  'sys.stdout.write':
    'import sys\nfor _ in range(int(input())): sys.stdout.write(f"{sum(map(int, input().split()))}\\n")',
  'os.write(1)': 'import os\nfor _ in range(int(input())): os.write(1, b"%d\\n" % sum(map(int, input().split())))',
  'open(1) without close':
    'out = open(1, "w")\nfor _ in range(int(input())): print(sum(map(int, input().split())), file=out)',
  'a stdout of its own, flushed at the end':
    'import atexit, io, os, sys\nsys.stdout = io.StringIO()\natexit.register(lambda: os.write(1, sys.stdout.getvalue().encode()))\nfor _ in range(int(input())): print(sum(map(int, input().split())))',
  'module variables and global':
    'total = 0\ndef solve():\n    global total\n    total = sum(map(int, input().split()))\nfor _ in range(int(input())):\n    solve()\n    print(total)',
  'a main guard':
    'def main():\n    for _ in range(int(input())): print(sum(map(int, input().split())))\nif __name__ == "__main__":\n    main()',
  'class Solution':
    'from typing import List\nclass Solution:\n    def add(self, x: List[int]) -> int: return sum(x)\nfor _ in range(int(input())): print(Solution().add(list(map(int, input().split()))))',
  'dataclasses and decorators':
    'from __future__ import annotations\nfrom dataclasses import dataclass\nfrom functools import lru_cache\n@dataclass(order=True, frozen=True)\nclass Pair:\n    a: int\n    b: int\n@lru_cache(None)\ndef add(p): return p.a + p.b\nfor _ in range(int(input())): print(add(Pair(*map(int, input().split()))))',
  'sys.exit after printing':
    'import sys\nfor _ in range(int(input())): print(sum(map(int, input().split())))\nsys.exit()\nprint("no")',
  'exit()': 'for _ in range(int(input())): print(sum(map(int, input().split())))\nexit()',
  'os._exit after a flush':
    'import os\nfor _ in range(int(input())): print(sum(map(int, input().split())), flush=True)\nos._exit(0)',
  'a thread with a large stack, joined':
    'import sys, threading\nsys.setrecursionlimit(1 << 25)\nthreading.stack_size(1 << 27)\ndef main():\n    for _ in range(int(input())): print(sum(map(int, input().split())))\nt = threading.Thread(target=main)\nt.start()\nt.join()',
  'a thread that nobody joins':
    'import threading, time\ndef main():\n    time.sleep(.05)\n    for _ in range(int(input())): print(sum(map(int, input().split())))\nthreading.Thread(target=main).start()',
  'a pool of threads':
    'from concurrent.futures import ThreadPoolExecutor\nrows = [input() for _ in range(int(input()))]\nwith ThreadPoolExecutor(4) as pool: print(*pool.map(lambda r: sum(map(int, r.split())), rows), sep="\\n")',
  'a coroutine of generators':
    'import sys\ndef adder():\n    total = None\n    while True: total = sum(map(int, (yield total).split()))\na = adder(); next(a)\nfor _ in range(int(input())): print(a.send(input()))',
  'exec of a string': 'exec("for _ in range(int(input())): print(sum(map(int, input().split())))")',
  'pickle of an own class':
    'import pickle\nclass P: pass\np = P(); p.rows = [input() for _ in range(int(input()))]\nfor r in pickle.loads(pickle.dumps(p)).rows: print(sum(map(int, r.split())))',
  'raising the stack limit':
    'import resource, sys\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 28, resource.getrlimit(resource.RLIMIT_STACK)[1]))\nfor _ in range(int(input())): print(sum(map(int, input().split())))',
  'Windows line ends in the code':
    'n = int(input())\r\nfor _ in range(n):\r\n    print(sum(map(int, input().split())))\r\n',
}

const styles: Style[] = [
  ...Object.entries(sumStyles).map(([name, code]) => ({ name, code, input: { stdin }, stdout: sums })),
  {
    name: 'recursion, 50,000 deep, through C',
    code: 'import sys\nfrom functools import lru_cache\nsys.setrecursionlimit(10**6)\n@lru_cache(None)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(50000))',
    input: { stdin: '' },
    stdout: '50000\n',
  },
  {
    name: 'no input and no end of line',
    code: 'import sys\nsys.stdout.write("é∑")',
    input: { stdin: '' },
    stdout: 'é∑',
  },
  { name: 'text that is not ASCII', code: 'print(input()[::-1])', input: { stdin: 'añ中😀\n' }, stdout: '😀中ña\n' },
  {
    name: 'a queue',
    code: 'import queue\nq = queue.PriorityQueue()\nfor x in (3, 1, 2): q.put(x)\nprint(q.get())',
    input: { stdin: '' },
    stdout: '1\n',
  },
  {
    name: 'random numbers, hashes and the order of sets that are the same each time',
    code: 'print(hash("a") == hash("a"), *sorted({"b", "a"}))',
    input: { stdin: '' },
    stdout: 'True a b\n',
  },
  {
    name: 'a method of a class',
    code: 'class Solution:\n    def f(self, a: List[int], b: str): return (a, b, None, 1.0)',
    prelude: 'from typing import *',
    entry: 'Solution.f',
    input: { args: ['[1,2]', '"x"'] },
    stdout: '',
    value: '[[1, 2], "x", null, 1.0]',
  },
  {
    name: 'a function beside what only a script runs',
    code: 'def f(n):\n    print("noise")\n    return 2**n\nif __name__ == "__main__":\n    print(f(int(input())))',
    entry: 'f',
    input: { args: ['70'] },
    stdout: 'noise\n',
    value: '1180591620717411303424',
  },
  {
    name: 'a prelude before __future__',
    code: 'from __future__ import annotations\ndef f(x: Undefined): return sqrt(x)',
    prelude: 'from math import *',
    entry: 'f',
    input: { args: ['9'] },
    value: '3.0',
  },
]

describe.each(environments)('as $name', ({ command }) => {
  let runner: ProgramRunner
  beforeAll(async () => {
    process.env.BRANCHMERGE_SANDBOX = sandboxIn(command)
    runner = await openSandbox({ workers: 1 })
  })
  afterAll(() => runner?.close())

  test.each(styles)('$name', async ({ name, input, stdout, value, ...program }) => {
    const [outcome] = await runner.run(program, [input], limits)
    const ended = /exit/.test(name) ? { status: 'exit', detail: '0' } : { status: 'finished' }
    expect(outcome).toMatchObject({ ...ended, ...(stdout === undefined ? {} : { stdout }) })
    expect(outcome?.value).toBe(value)
  })
})

test('numpy, where the interpreter has it', async () => {
  process.env.BRANCHMERGE_SANDBOX = sandboxIn([])
  const runner = await openSandbox({ workers: 1 })
  const code =
    'try:\n    import numpy\nexcept ModuleNotFoundError:\n    print(3)\nelse:\n    print(numpy.linalg.det(numpy.array([[3.0]])).round().astype(int))'
  const [outcome] = await runner.run({ code }, [{ stdin: '' }], limits)
  await runner.close()
  expect(outcome).toMatchObject({ status: 'finished', stdout: '3\n' })
})
