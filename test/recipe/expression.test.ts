import { describe, expect, test } from 'vitest'
import { BranchMergeError } from '../../lib/errors.js'
import { type Expression, parseExpression, printExpression } from '../../lib/recipe/expression.js'
import { methodNames, methods } from '../../lib/recipe/methods.js'
import type { Setting } from '../../lib/recipe/setting.js'
import { Random } from '../support/random.js'

/** The expression without positions. */
function plain(expression: Expression): unknown {
  if (expression.kind === 'name') return expression.name
  const { method, base, inputs, parameters } = expression
  return [method, base && plain(base), inputs.map(plain), parameters.map(({ name, value }) => [name, value])]
}

const fuse = (left: unknown, right: unknown) => ['fuse', undefined, [left, right], []]

describe('what is understood', () => {
  const cases: [text: string, expected: unknown, canonical: string][] = [
    ['a & b', fuse('a', 'b'), 'a & b'],
    ['((math & science) & coding)', fuse(fuse('math', 'science'), 'coding'), '(math & science) & coding'],
    ['math & science & coding', fuse(fuse('math', 'science'), 'coding'), '(math & science) & coding'],
    ['math & (science & coding)', fuse('math', fuse('science', 'coding')), 'math & (science & coding)'],
    ['  ( ( a ) )\n', 'a', 'a'],
    ['arcee_fusion(a, b)', fuse('a', 'b'), 'a & b'],
    ['fuse(a, b; lambda=2)', ['fuse', undefined, ['a', 'b'], [['lambda', 2]]], 'fuse(a, b; lambda=2)'],
    [
      'ties(base, math, science; density=0.5, weight=[0.5,0.3])',
      [
        'ties',
        'base',
        ['math', 'science'],
        [
          ['density', 0.5],
          ['weight', [0.5, 0.3]],
        ],
      ],
      'ties(base, math, science; density=0.5, weight=[0.5, 0.3])',
    ],
    [
      'slerp(a & b, c; t=gradient(0, .5, 1e0))',
      ['slerp', undefined, [fuse('a', 'b'), 'c'], [['t', { gradient: [0, 0.5, 1] }]]],
      'slerp(a & b, c; t=gradient(0, 0.5, 1))',
    ],
    ['nuslerp(a, b; base=c & d)', ['nuslerp', fuse('c', 'd'), ['a', 'b'], []], 'nuslerp(a, b; base=c & d)'],
    [
      "fuse(a, b; divergence='left||right', gate=gt)",
      [
        'fuse',
        undefined,
        ['a', 'b'],
        [
          ['divergence', 'left||right'],
          ['gate', 'gt'],
        ],
      ],
      "fuse(a, b; divergence='left||right', gate=gt)",
    ],
    ["'my model' & 'it''s (1)'", fuse('my model', "it's (1)"), "'my model' & 'it''s (1)'"],
    ['7b_Qwen2.5-x & 0', fuse('7b_Qwen2.5-x', '0'), '7b_Qwen2.5-x & 0'],
    ['ties & linear', fuse('ties', 'linear'), 'ties & linear'],
    [
      "linear('linear', x; normalize=false)",
      ['linear', undefined, ['linear', 'x'], [['normalize', false]]],
      'linear(linear, x; normalize=false)',
    ],
    ['passthrough(a; scale=-0)', ['passthrough', undefined, ['a'], [['scale', 0]]], 'passthrough(a; scale=0)'],
    [
      'linear(a,b;weight=[gradient(0,1),2])',
      ['linear', undefined, ['a', 'b'], [['weight', [{ gradient: [0, 1] }, 2]]]],
      'linear(a, b; weight=[gradient(0, 1), 2])',
    ],
  ]
  test.each(cases)('%s', (text, expected, canonical) => {
    const expression = parseExpression(text)
    expect(plain(expression)).toEqual(expected)
    expect(printExpression(expression)).toBe(canonical)
    expect(plain(parseExpression(canonical))).toEqual(expected)
  })
})

describe('what is refused, and where', () => {
  const cases: [text: string, message: string, at: number][] = [
    ['', 'Expected a model, a method or "(" but found the end', 0],
    ['a &', 'Expected a model, a method or "(" but found the end', 3],
    ['a & )', 'Expected a model, a method or "(" but found ")"', 4],
    ['a b', 'Expected "&" or the end but found "b"', 2],
    ['(a & b', 'Expected "&" or ")" but found the end', 6],
    ['a & b)', 'Expected "&" or the end but found ")"', 5],
    ['-a & b', 'Expected a model, a method or "(" but found "-"', 0],
    ['a & é', 'Expected a model, a method or "(" but found "é"', 4],
    ['a & 😀', 'but found "😀"', 4],
    ["a & 'b", 'Expected a closing quote but found "\'"', 4],
    ["a & ''", 'Expected a name of at most 200 characters', 4],
    ["a & 'b\u0000'", 'Expected a name of at most 200 characters', 4],
    [`a & ${'b'.repeat(201)}`, 'Expected a name of at most 200 characters', 4],
    ['tie(a, b)', 'Unknown method "tie": did you mean ties?', 0],
    ['a & quux(a, b)', 'Unknown method "quux": expected one of fuse, arcee_fusion, linear', 4],
    ["'ties'(a, b, c)", 'Expected "&" or the end but found "("', 6],
    ['ties(a)', 'Expected 1 to 64 inputs after the base for ties but received 0', 0],
    ['x & slerp(a, b, c; t=1)', 'Expected 2 inputs for slerp but received 3', 4],
    ['passthrough(a, b)', 'Expected 1 input for passthrough but received 2', 0],
    ['linear(a b)', 'Expected "&", ",", ";" or ")" but found "b"', 9],
    ['linear(a, b; wieght=1)', 'Unknown parameter of linear "wieght": did you mean weight?', 13],
    ['linear(a, b; base=c)', 'Unknown parameter of linear "base"', 13],
    ['ties(a, b, c; base=d)', 'Unknown parameter of ties "base"', 14],
    ['nuslerp(a, b; base=c, base=d)', 'Expected base once', 22],
    ['linear(a, b; weight=1, weight=2)', 'Expected weight once', 23],
    ['linear(a, b; weight)', 'Expected "=" but found ")"', 19],
    ['linear(a, b; weight=)', 'Expected a value but found ")"', 20],
    ['linear(a, b; weight=[1])', 'Expected 2 values, one for each input, for weight but received [ 1 ]', 20],
    ['linear(a, b; weight=[1, x])', 'Expected a number or gradient(...)', 24],
    ['linear(a, b; weight=1e999)', 'Expected a finite number but found 1e999', 20],
    ['linear(a, b; weight=2e6)', 'Expected a number from -1000000 to 1000000 for weight but received 2000000', 20],
    ['linear(a, b; normalize=1)', 'Expected true or false for normalize but received 1 of type number', 23],
    [
      'slerp(a, b; t=[0, 1])',
      'Expected a number from 0 to 1 for t but received [ 0, 1 ] of type array; values over layers',
      14,
    ],
    ['slerp(a, b; t=gradient(1))', 'Expected 2 to 1024 numbers for t.gradient', 14],
    ['slerp(a, b; t=gradient(0, 2))', 'Expected a number from 0 to 1 for t.gradient[1] but received 2', 14],
    ['slerp(a, b; t=gradient(0, x))', 'Expected a number but found "x"', 26],
    ['dare_ties(a, b; seed=1.5)', 'Expected an integer from 0 to 4294967295 for seed but received 1.5', 21],
    [
      'dare_ties(a, b; seed=gradient(1, 2))',
      'Expected an integer from 0 to 4294967295 for seed but received a gradient',
      21,
    ],
    ['fuse(a, b; gate=gee)', "Expected one of ge, gt, soft for gate but received 'gee' of type string", 16],
    [`${'('.repeat(65)}a`, 'Expected at most 64 levels of parentheses', 64],
    [Array.from({ length: 66 }, () => 'a').join(' & '), 'Expected at most 64 nested merges', 258],
    [`a${' '.repeat(16_384)}`, 'Expected at most 16384 characters but received 16385', 16_384],
  ]
  test.each(cases)('%j', (text, message, at) => {
    const refusal = refusalOf(text)
    expect(refusal.code).toBe('ERR_RECIPE')
    expect(refusal.message).toContain(message)
    expect(refusal.message).toContain(`at character ${at + 1} of the expression`)
  })

  test('the line is shown, with a caret below the place', () => {
    expect(refusalOf('(math &\n  scien ce) & coding').message).toBe(
      'Expected "&" or ")" but found "c", at character 17 of the expression:\n      scien ce) & coding\n            ^',
    )
    const [, line, caret] = refusalOf(`${'a & '.repeat(40)}?${' & a'.repeat(40)}`).message.split('\n')
    expect(line?.[caret?.indexOf('^') as number]).toBe('?')
    expect(line?.length).toBeLessThan(110)
  })

  test('what is no text', () => {
    expect(() => parseExpression(7 as unknown as string)).toThrow(
      'Expected an expression for expression but received 7',
    )
  })
})

function refusalOf(text: string): BranchMergeError {
  try {
    parseExpression(text)
  } catch (error) {
    if (error instanceof BranchMergeError) return error
    throw error
  }
  throw new Error(`Expected a refusal of ${text}`)
}

const words = ['a', 'b7', 'x-y_z.1', 'my model', "it's", 'ties', '0', 'gradient', 'true', '日本', '(&)']

function randomExpression(random: Random, depth: number): Expression {
  const at = 0
  if (depth === 0 || random.below(4) === 0) return { kind: 'name', name: random.pick(words), at }
  const method = random.pick(methodNames)
  const { base, inputs, parameters } = methods[method]
  const operand = () => randomExpression(random, depth - 1)
  const count = Math.min(inputs.most, inputs.least + random.below(3))
  const hasBase = base === 'required' || (base === 'optional' && random.below(2) === 0)
  return {
    kind: 'call',
    method,
    base: hasBase ? operand() : undefined,
    inputs: Array.from({ length: count }, operand),
    parameters: Object.keys(parameters)
      .filter(() => random.below(3) === 0)
      .map((name) => ({ name, value: randomSetting(random, method, name, count), at })),
    at,
  }
}

function randomSetting(random: Random, method: keyof typeof methods, name: string, inputs: number): Setting {
  const parameter = methods[method].parameters[name]
  if (parameter?.type === 'boolean') return random.below(2) === 0
  if (parameter?.type === 'choice') return random.pick(parameter.choices)
  const { least, most, type } = parameter as { least: number; most: number; type: string }
  const number = () => {
    const value = least + random.uniform() * (most - least)
    return type === 'integer'
      ? Math.round(value)
      : random.pick([value, Number(value.toPrecision(2)), Math.max(least, 0)])
  }
  const value = () =>
    type === 'number' && random.below(3) === 0
      ? { gradient: Array.from({ length: 2 + random.below(3) }, number) }
      : number()
  return parameter?.perInput && random.below(2) === 0 ? Array.from({ length: inputs }, value) : value()
}

test('printing and parsing give the same expression, and the same text again', () => {
  const random = new Random(3)
  for (let i = 0; i < 2000; i++) {
    const expression = randomExpression(random, 4)
    const text = printExpression(expression)
    const again = parseExpression(text)
    expect(plain(again)).toEqual(plain(expression))
    expect(printExpression(again)).toBe(text)
  }
})

test('any text is parsed or refused with a place inside it', () => {
  const random = new Random(5)
  const tokens = [
    '(',
    ')',
    '&',
    ',',
    ';',
    '=',
    '[',
    ']',
    "'",
    ' ',
    '\n',
    'a',
    'ties',
    'slerp',
    't',
    'weight',
    '1',
    '-.5e3',
    'é',
  ]
  for (let i = 0; i < 5000; i++) {
    const valid = printExpression(randomExpression(random, 2))
    const cut = random.below(valid.length + 1)
    const text =
      i % 2 === 0
        ? Array.from({ length: random.below(12) }, () => random.pick(tokens)).join('')
        : valid.slice(0, cut) + random.pick(tokens) + valid.slice(cut + random.below(3))
    try {
      parseExpression(text)
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_RECIPE' })
      const [, at] = /at character (\d+) of/.exec((error as Error).message) ?? []
      expect(Number(at)).toBeLessThanOrEqual(text.length + 1)
    }
  }
})
