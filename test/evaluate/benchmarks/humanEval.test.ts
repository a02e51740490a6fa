import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { openBenchmark } from '../../../lib/evaluate/benchmarks/openBenchmark.js'
import { sandboxOfFile } from '../../support/sandbox.js'
import { graded, jsonLines, opened, promptOf, question, said, written } from './support.js'

const programs = await sandboxOfFile()
const python = (code: string) => `\`\`\`python\n${code}\n\`\`\``

// Tasks of our own, in the form of HumanEval.
const scale = {
  task_id: 'HumanEval/900',
  prompt:
    'from typing import List\n\n\ndef twice(x):\n    return 2 * x\n\n\ndef scale(values: List[int]) -> List[int]:\n    """ Double each value.\n    >>> scale([1, 2])\n    [2, 4]\n    """\n',
  entry_point: 'scale',
  canonical_solution: '    return [twice(x) for x in values]\n',
  // As in HumanEval/32, /38 and /50, the test calls a helper of the prompt.
  test: 'METADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == [twice(1), twice(2)]\n    assert candidate([]) == []\n',
}
const half = {
  task_id: 'HumanEval/901',
  prompt: 'def half(x: float) -> float:\n    """ Half of x. """\n',
  entry_point: 'half',
  canonical_solution: '    return x / 2\n',
  test: 'def check(candidate):\n    assert candidate(3) == 1.5\n',
  contract: '',
  base_input: [[3], [4]],
  plus_input: [[0.1], [1e300]],
  atol: 0,
}

const grade = async (row: unknown, answer: string) =>
  await graded(question(await opened([row], { name: 'humaneval' })), answer, { programs })

test('questions and prompts, of a plain and a packed file', async () => {
  for (const path of [written('h.jsonl', jsonLines([scale])), written('h.jsonl.gz', gzipSync(jsonLines([scale])))]) {
    const benchmark = await openBenchmark({ name: 'humaneval', path })
    expect(benchmark).toMatchObject({
      kind: 'humaneval',
      version: 'humaneval/strict@2',
      needsPrograms: true,
      trials: 4,
    })
    expect(benchmark.notes).toEqual(['HumanEval has 164 tasks, and here are 1.'])
    expect(question(benchmark).id).toBe('HumanEval/900')
    expect(promptOf(question(benchmark))).toEqual([
      [
        'user',
        `Please provide a self-contained Python script that solves the following problem in a markdown code block:\n\`\`\`\n${scale.prompt.trim()}\n\`\`\`\n`,
      ],
    ])
  }
})

test('the paper profile is refused', async () => {
  await expect(opened([scale], { name: 'humaneval', profile: 'paper' })).rejects.toThrow('Expected the profile strict')
})

describe('tests of HumanEval', () => {
  const passes: [name: string, answer: string, rule: string][] = [
    [
      'the function alone',
      python('def scale(values: List[int]):\n    return [2 * v for v in values]'),
      'last python block',
    ],
    [
      'a helper of the prompt',
      python('def scale(values):\n    return [twice(v) for v in values]'),
      'last python block',
    ],
    [
      'an own helper',
      python('def d(v):\n    return 2 * v\ndef scale(values):\n    return list(map(d, values))'),
      'last python block',
    ],
    ['the whole prompt again', python(`${scale.prompt}${scale.canonical_solution}`), 'last python block'],
    [
      'from __future__',
      python('from __future__ import annotations\ndef scale(values: list[int]):\n    return [v * 2 for v in values]'),
      'last python block',
    ],
    [
      'a script that reads and ends itself where it is run as one',
      python(
        'import sys\ndef scale(values):\n    return [v * 2 for v in values]\nif __name__ == "__main__":\n    print(scale(input().split()))\n    sys.exit(0)',
      ),
      'last python block',
    ],
    ['the body alone', python('    return [v * 2 for v in values]'), 'body after the prompt'],
    [
      'an example after it',
      `${python('def scale(values):\n    return [2 * v for v in values]')}\n${python('print(scale([1]))')}`,
      'last python block',
    ],
  ]
  test.each(passes)('pass: %s', async (_, answer, rule) => {
    expect(await grade(scale, answer)).toMatchObject({
      status: 'correct',
      rule,
      metrics: { base: { passed: 1, total: 1 } },
    })
  })

  test.each([
    ['a wrong value', 'def scale(values):\n    return values', 'AssertionError'],
    ['an exit', 'import sys\ndef scale(values):\n    sys.exit(0)', '0'],
    ['an exit while it is defined', 'import os\ndef scale(values):\n    return 1\nraise SystemExit(0)', '0'],
  ])('fail: %s', async (_, code, detail) => {
    const verdict = await grade(scale, python(code))
    expect(verdict).toMatchObject({ status: 'wrong', metrics: { base: { passed: 0, total: 1 } } })
    expect(verdict.detail).toContain(detail)
  })

  test('no code is no answer, and counts among the metrics', async () => {
    expect(await grade(scale, 'It doubles.')).toMatchObject({
      status: 'no-answer',
      metrics: { base: { passed: 0, total: 1 } },
    })
    const asked = question(await opened([scale], { name: 'humaneval' }))
    expect((await graded(asked, said('```python\ndef sca', 'length'), { programs })).status).toBe('truncated')
  })

  test('limits grow with what the right solution takes here', async () => {
    const seconds: number[] = []
    const slow: typeof programs = {
      ...programs,
      run(_program, inputs, limits) {
        seconds.push(limits.seconds)
        return Promise.resolve(inputs.map(() => ({ status: 'finished' as const, stdout: '', seconds: 2 })))
      },
    }
    const asked = question(await opened([scale], { name: 'humaneval' }))
    for (let i = 0; i < 2; i++) await graded(asked, python('def scale(values): return 1'), { programs: slow })
    expect(seconds).toEqual([60, 8, 8])
  })

  test('a right solution that fails is an error of the file', async () => {
    const broken = { ...scale, canonical_solution: '    return 1\n' }
    await expect(grade(broken, python('def scale(values): return 1'))).rejects.toMatchObject({
      code: 'ERR_BENCHMARK',
      message: expect.stringContaining('the right solution of HumanEval/900'),
    })
  })
})

test('an import before the docstring is moved to the top', async () => {
  const misplaced = { ...half, base_input: undefined, plus_input: undefined }
  const prompt = 'def half(x):\n    import math\n    """\n    Half of x.\n    """\n'
  const asked = question(await opened([{ ...misplaced, prompt }], { name: 'humaneval' }))
  expect(promptOf(asked)[0]?.[1]).toContain('```\nimport math\ndef half(x):\n    """\n')
  const code = python('def half(x):\n    return math.fsum([x]) / 2')
  expect((await graded(asked, code, { programs })).status).toBe('correct')
})

describe('tests of EvalPlus', () => {
  test.each([
    ['right', 'return x / 2', 1, 1],
    ['close', 'return x / 2 + 1e-9', 1, 1],
    ['right for the tests of HumanEval only', 'return x / 2 if x > 1 and x < 9 else 0', 1, 0],
    ['never right', 'return 0', 0, 0],
    ['an object that equals everything', 'return type("A", (float,), {"__eq__": lambda a, b: True})(7)', 0, 0],
    ['text', 'return str(x / 2)', 0, 0],
  ])('%s', async (_, body, base, plus) => {
    const verdict = await grade(half, python(`def half(x):\n    ${body}`))
    expect(verdict.status).toBe(base + plus === 2 ? 'correct' : 'wrong')
    expect(verdict.metrics).toEqual({ base: { passed: base, total: 1 }, plus: { passed: plus, total: 1 } })
  })

  test('any zero of a polynomial is right', async () => {
    const zero = {
      ...half,
      prompt: 'def find_zero(xs: list):\n    """ x with poly(xs, x) = 0. """\n',
      entry_point: 'find_zero',
      canonical_solution: '    return 1.0\n',
      base_input: [[[-1, 0, 1]]],
      plus_input: [],
      atol: 1e-4,
    }
    for (const [value, status] of [
      ['-1', 'correct'],
      ['1.00001', 'correct'],
      ['0.9', 'wrong'],
      ['None', 'wrong'],
      ['float("nan")', 'wrong'],
    ]) {
      expect((await grade(zero, python(`def find_zero(xs):\n    return ${value}`))).status).toBe(status)
    }
  })
})

test.each<[string, Record<string, unknown>, string]>([
  ['no test', { ...scale, test: undefined }, 'test'],
  ['a prompt without the function', { ...scale, entry_point: 'other' }, 'a definition of other in prompt'],
  ['inputs that are none', { ...half, plus_input: [1] }, 'a list of lists of arguments for plus_input'],
  ['no inputs', { ...half, base_input: [] }, 'base_input'],
  ['a tolerance that is none', { ...half, atol: -1 }, 'atol'],
])('a row is refused: %s', async (_, row, message) => {
  await expect(opened([row], { name: 'humaneval', kind: 'humaneval' })).rejects.toMatchObject({
    code: 'ERR_BENCHMARK',
    message: expect.stringContaining(message),
  })
})
