import { expect, test } from 'vitest'
import { gradeFunction, gradeStdin } from '../../../lib/grading/programs/gradeProgram.js'
import { answered } from '../../support/answered.js'
import { sandboxOfFile } from '../../support/sandbox.js'

const runner = await sandboxOfFile()
const python = (code: string) => answered(`\`\`\`python\n${code}\n\`\`\``)

const doubling = [
  { input: '1\n2\n', output: '2\n4\n' },
  { input: '5\n', output: '10\n' },
]

// Each reads numbers, one a line, and prints their doubles.
const styles: [name: string, code: string][] = [
  ['for line in sys.stdin', 'import sys\nfor line in sys.stdin:\n    print(int(line) * 2)'],
  [
    'input until EOFError',
    'while True:\n    try:\n        print(int(input()) * 2)\n    except EOFError:\n        break',
  ],
  ['sys.stdin.read', 'import sys\nfor word in sys.stdin.read().split():\n    print(int(word) * 2)'],
  ['sys.stdin.buffer.read', 'import sys\nfor word in sys.stdin.buffer.read().split():\n    print(int(word) * 2)'],
  [
    'sys.stdin.buffer.readline again and again',
    'import sys\nwhile line := sys.stdin.buffer.readline():\n    print(int(line) * 2)',
  ],
  ['sys.stdin.readlines', 'import sys\nfor line in sys.stdin.readlines():\n    print(int(line) * 2)'],
  [
    'input = sys.stdin.readline',
    'import sys\ninput = sys.stdin.readline\nwhile line := input():\n    print(int(line) * 2)',
  ],
  ['open(0)', 'for line in open(0).read().split():\n    print(int(line) * 2)'],
  ['os.read', 'import os\nfor line in os.read(0, 10000).split():\n    print(int(line) * 2)'],
  [
    'sys.stdout.buffer.write',
    'import sys\nfor line in sys.stdin:\n    sys.stdout.buffer.write(b"%d\\n" % (int(line) * 2))',
  ],
  ['sys.stdout.write', 'import sys\nfor line in sys.stdin:\n    sys.stdout.write(str(int(line) * 2) + "\\n")'],
  [
    'a global variable',
    'import sys\ntotal = 0\ndef add(n):\n    global total\n    total += n\nfor line in sys.stdin:\n    total = 0\n    add(int(line))\n    add(int(line))\n    print(total)',
  ],
  [
    'a main function',
    'import sys\ndef main():\n    for line in sys.stdin:\n        print(int(line) * 2)\nif __name__ == "__main__":\n    main()',
  ],
  ['sys.exit at the end', 'import sys\nfor line in sys.stdin:\n    print(int(line) * 2)\nsys.exit(0)'],
  [
    'a function that calls itself',
    'import sys\nsys.setrecursionlimit(10**6)\ndef down(n, d):\n    return d if n == 0 else down(n - 1, d + 2)\nfor line in sys.stdin:\n    print(down(int(line), 0))',
  ],
  [
    'from __future__',
    'from __future__ import annotations\nimport sys\nfor line in sys.stdin:\n    print(int(line) * 2)',
  ],
]

test.each(styles)('a valid program passes: %s', async (_, code) => {
  expect(await gradeStdin(python(code), doubling, runner)).toEqual({
    status: 'correct',
    extracted: code,
    rule: 'last python block',
    detail: '2 of 2 tests pass',
  })
})

test('the first test that fails is named, and no test after it is run', async () => {
  const seen: number[] = []
  const counting: typeof runner = {
    ...runner,
    run: async (...args) => {
      const outcomes = await runner.run(...args)
      seen.push(outcomes.length)
      return outcomes
    },
  }
  const tests = [
    { input: '1', output: '2' },
    { input: '5', output: '10' },
    { input: '7', output: '14' },
  ]
  const verdict = await gradeStdin(python('n = int(input())\nprint(n + 1)'), tests, counting)
  expect(verdict).toMatchObject({ status: 'wrong', detail: 'test 2 of 3: line 1 is "6" instead of "10"' })
  expect(seen).toEqual([2])
})

test('how a program fails is said', async () => {
  const tests = [{ input: '1', output: '1' }]
  const detailOf = async (code: string) => (await gradeStdin(python(code), tests, runner, { seconds: 1 })).detail
  expect(await detailOf('print(1 // 0)')).toBe('test 1 of 1: ZeroDivisionError: integer division or modulo by zero')
  expect(await detailOf('while True: str()')).toBe('test 1 of 1: more than 1 s')
  expect(await detailOf('import sys\nprint(1)\nsys.exit(3)')).toMatch(/^test 1 of 1: .*3/)
  expect(await detailOf('raise ValueError("x" * 10000)')).toHaveLength(214)
})

test('usual imports are added only where a name is missing', async () => {
  const tests = [{ input: '3 4', output: '5' }]
  const lacking = 'a, b = map(int, input().split())\nprint(gcd(a, b) * 5)'
  expect(await gradeStdin(python(lacking), tests, runner)).toMatchObject({
    status: 'correct',
    rule: 'last python block, with the usual imports',
  })
  const builtin = 'a, b = map(int, input().split())\nprint(pow(a, b, 7) + 1)'
  for (const paper of [false, true]) {
    expect((await gradeStdin(python(builtin), tests, runner, { paper })).status).toBe('correct')
  }
  const future = `from __future__ import annotations\n${lacking}`
  expect((await gradeStdin(python(future), tests, runner)).status).toBe('correct')
})

test('a missing name that no import brings stays wrong', async () => {
  const verdict = await gradeStdin(python('print(no_such_name)'), [{ input: '', output: '1' }], runner)
  expect(verdict).toMatchObject({ status: 'wrong', rule: 'last python block, with the usual imports' })
  expect(verdict.detail).toMatch(/NameError/)
})

test('numbers may be written in another way', async () => {
  expect(await gradeStdin(python('print(0.50)\nprint("x")'), [{ input: '', output: '.5\nx' }], runner)).toMatchObject({
    status: 'correct',
    rule: 'last python block; compared by decimals',
  })
})

const sum = [
  { args: ['[1, 2]', '1'], output: '[2, 3]' },
  { args: ['[]', '1'], output: '[]' },
]
const method = ['Solution.add', 'add']

test.each([
  [
    'a method',
    'class Solution:\n    def add(self, a: List[int], b: int) -> List[int]:\n        return [x + b for x in a]',
  ],
  ['a function', 'def add(a, b):\n    return [x + b for x in a]'],
  ['a tuple', 'def add(a, b):\n    return tuple(x + b for x in a)'],
  ['floats', 'def add(a, b):\n    return [float(x + b) for x in a]'],
  ['names of usual modules', 'def add(a, b):\n    return list(map(lambda x: x + b, deque(a)))'],
])('a function passes: %s', async (_, code) => {
  expect((await gradeFunction(python(code), sum, method, runner)).status).toBe('correct')
})

test.each([
  ['a wrong value', 'def add(a, b):\n    return [3, 3]', '"[3, 3]" instead of "[2, 3]"'],
  ['no value', 'def add(a, b):\n    pass', '"null" instead of "[2, 3]"'],
  ['an exception', 'def add(a, b):\n    raise KeyError(1)', 'KeyError: 1'],
  ['text in place of a list', 'def add(a, b):\n    return "[2, 3]"', '"\\"[2, 3]\\"" instead of "[2, 3]"'],
  ['a generator', 'def add(a, b):\n    return (x for x in a)', 'not JSON serializable'],
])('a function fails: %s', async (_, code, detail) => {
  const verdict = await gradeFunction(python(code), sum, method, runner)
  expect(verdict.status).toBe('wrong')
  expect(verdict.detail).toContain(detail)
})

// What the runners of the benchmarks accept, because expected values lie in the program's process.
test.each([
  [
    'an object that equals everything',
    'class Any:\n    def __eq__(self, other): return True\ndef add(a, b): return Any()',
  ],
  [
    'a list that equals everything',
    'class Any(list):\n    def __eq__(self, other): return True\ndef add(a, b): return Any()',
  ],
  [
    'a number that equals everything',
    'class Any(int):\n    def __eq__(self, other): return True\ndef add(a, b): return Any(9)',
  ],
  [
    'the expected value in a caller',
    `import sys
def add(a, b):
    frame = sys._getframe()
    while frame:
        for name in ("gt_out", "expected", "output", "outputs", "tests"):
            if name in frame.f_locals: return frame.f_locals[name]
        frame = frame.f_back
    return None`,
  ],
  ['a printed value', 'def add(a, b):\n    print("[2, 3]")\n    return None'],
  ['a hidden exit', 'import sys\ndef add(a, b):\n    print("[2, 3]")\n    sys.exit(0)'],
])('an exploit fails: %s', async (_, code) => {
  expect((await gradeFunction(python(code), sum, method, runner)).status).toBe('wrong')
})

test('values that a program forges are only data', async () => {
  const forging: typeof runner = {
    ...runner,
    run(_program, inputs, _limits, options) {
      const outcome = { status: 'finished' as const, stdout: '', value: '[2, 3', seconds: 0 }
      options?.goOn?.(outcome, 0)
      return Promise.resolve(inputs.map(() => outcome))
    },
  }
  const verdict = await gradeFunction(python('def add(a, b): return 1'), sum, method, forging)
  expect(verdict).toMatchObject({ status: 'wrong', detail: 'test 1 of 2: "[2, 3" instead of "[2, 3]"' })
})

test('an answer without a program is none, and one that was cut off is truncated', async () => {
  const tests = [{ input: '', output: '1' }]
  const grade = async (text: string, truncated = false) =>
    (await gradeStdin(answered(text, truncated), tests, runner)).status
  expect(await grade('')).toBe('no-answer')
  expect(await grade('It is 1.')).toBe('no-answer')
  expect(await grade('', true)).toBe('truncated')
  expect(await grade('```python\nprint((', true)).toBe('truncated')
  expect(await grade('```python\nprint((\n```')).toBe('wrong')
  expect(await grade('```python\nprint(1)\n```\nAnd now some prose', true)).toBe('correct')
})

test('reasoning is no answer, but for the paper', async () => {
  const code = '```python\nprint(1)\n```'
  const completion = { reasoning: code, answer: '', full: `<think>${code}`, closed: false, truncated: true }
  const tests = [{ input: '', output: '1' }]
  expect((await gradeStdin(completion, tests, runner)).status).toBe('truncated')
  expect(await gradeStdin(completion, tests, runner, { paper: true })).toMatchObject({
    status: 'correct',
    rule: 'last two fence lines',
  })
})

test('the paper takes a block of output for the program, and the first item for the list', async () => {
  const answer = answered('```python\nprint(1)\n```\nOutput:\n```\n2\n```')
  const tests = [{ input: '', output: '1' }]
  expect((await gradeStdin(answer, tests, runner)).status).toBe('correct')
  expect(await gradeStdin(answer, tests, runner, { paper: true })).toMatchObject({ status: 'wrong', extracted: '2' })
  const first = [{ args: ['1'], output: '[[1, 2], 5]' }]
  const code = python('def f(n):\n    return (1, 2)')
  expect((await gradeFunction(code, first, ['f'], runner)).status).toBe('wrong')
  expect(await gradeFunction(code, first, ['f'], runner, { paper: true })).toMatchObject({
    status: 'correct',
    rule: 'last two fence lines; compared by first item',
  })
})

test('the paper stops when all tests together took too long', async () => {
  const tests = Array.from({ length: 5 }, () => ({ input: '', output: '1' }))
  const slow: typeof runner = {
    ...runner,
    run(_program, inputs, limits, options) {
      expect(limits.seconds).toBe(18)
      const outcome = { status: 'finished' as const, stdout: '1', seconds: 17 }
      const count = inputs.findIndex((_, i) => options?.goOn?.(outcome, i) === false) + 1
      return Promise.resolve(inputs.slice(0, count || inputs.length).map(() => outcome))
    },
  }
  const verdict = await gradeStdin(python('print(1)'), tests, slow, { paper: true })
  expect(verdict.detail).toBe('test 4 of 5: all tests together took more than 60 s')
})

test('tests that cannot be are refused', async () => {
  await expect(gradeStdin(python('print(1)'), [], runner)).rejects.toMatchObject({ code: 'ERR_BENCHMARK' })
  await expect(gradeFunction(python('def f(): pass'), [], ['f'], runner)).rejects.toMatchObject({
    code: 'ERR_BENCHMARK',
  })
  const broken = [{ args: [], output: 'None' }]
  await expect(gradeFunction(python('def f(): pass'), broken, ['f'], runner)).rejects.toMatchObject({
    code: 'ERR_BENCHMARK',
    message: expect.stringContaining('test 1'),
  })
})
