import { type Budget, comparisonWork, UnsupportedError } from './budget.js'
import { type Approximate, modulus } from './complex.js'
import { evaluateExact } from './exact.js'
import { formOf } from './expressionText.js'
import { equalForms } from './normalForm.js'
import { evaluateNumeric } from './numeric.js'
import {
  absolute,
  compare,
  equals,
  isInteger,
  multiply,
  parseDecimal,
  type Rational,
  rational,
  subtract,
} from './rational.js'
import { type Node, some, symbolsOf } from './syntax.js'

/**
 * How far a decimal literal may be from an exact value that it stands for: half a unit of the sixth decimal, as in Math-Verify.
 * A literal with fewer decimals than six stands for itself alone: 3.14 is not π and 0.33 is not 1/3.
 */
export const decimalTolerance = parseDecimal('0.0000005')
const toleratedDecimals = 6
/** And in proportion, so that numbers below the tolerance differ. */
const relativeTolerance = parseDecimal('0.000001')

const machineNoise = rational(1n, 10n ** 14n)

/** Points at which variables are tried, and how many of them must have a value. */
const realPoints = 12
const integerPoints = 8
const complexPoints = 3
const neededPoints = 3

/** Differences that rounding explains: the sum of both error bounds, which leave out constant factors. */
const errorFactor = 16
/** Above this part of the values, the errors say that too little is known. */
const unreliable = 1e-7

/** Whether two expressions have the same value, for all values of their variables; the rule that says so, or undefined. */
export function equalScalars(a: Node, b: Node, budget: Budget): string | undefined {
  budget.spend(comparisonWork)
  const infinite = [signOfInfinity(a), signOfInfinity(b)]
  if (infinite[0] !== 0 || infinite[1] !== 0) return infinite[0] === infinite[1] ? 'infinity' : undefined
  const exact = [evaluateExact(a, budget), evaluateExact(b, budget)] as const
  if (exact[0] && exact[1]) {
    if (equals(exact[0], exact[1])) return 'exact'
    return roundsTo(a, b, exact[0], exact[1]) ? 'decimal' : undefined
  }
  const formal = byForms(a, b, budget)
  if (formal !== undefined) return formal ? 'exact' : withinDecimals(a, b, budget)
  const symbols = [...symbolsOf(a), ...symbolsOf(b)].filter((name) => !name.startsWith('function '))
  const applied = some(a, isUnknownCall) || some(b, isUnknownCall)
  if (symbols.length === 0 && !applied) return equalConstants(a, b, budget)
  return equalEverywhere(a, b, budget) ? 'probing' : undefined
}

/** Whether two expressions are equal, where their normal forms decide it. */
function byForms(a: Node, b: Node, budget: Budget): boolean | undefined {
  const x = formOf(a, budget)
  const y = x && formOf(b, budget)
  return x && y && equalForms(x, y)
}

const isUnknownCall = (node: Node): boolean => node.kind === 'call' && node.name.startsWith('function ')

/** 1, −1 or 0: whether an expression is ∞ or −∞. */
export function signOfInfinity(node: Node): number {
  if (node.kind === 'constant') return node.name === 'infinity' ? 1 : 0
  if (node.kind === 'negate') return -signOfInfinity(node.of)
  return 0
}

/** The digits after the point of an answer that is a decimal literal, or −1. */
export function decimalsOf(node: Node): number {
  if (node.kind === 'number') return node.decimals ?? -1
  if (node.kind === 'negate' || node.kind === 'percent') return decimalsOf(node.of)
  return -1
}

function roundsTo(a: Node, b: Node, x: Rational, y: Rational): boolean {
  if (Math.max(decimalsOf(a), decimalsOf(b)) < toleratedDecimals) return false
  const difference = absolute(subtract(x, y))
  // Beside a whole number only the last digit of a computer's arithmetic may differ.
  if (isInteger(x) || isInteger(y)) return compare(difference, multiply(machineNoise, absolute(x))) <= 0
  return compare(difference, decimalTolerance) < 0 && compare(difference, multiply(relativeTolerance, absolute(x))) <= 0
}

function equalConstants(a: Node, b: Node, budget: Budget): string | undefined {
  const [x, y] = [evaluateNumeric(a, budget), evaluateNumeric(b, budget)]
  if (!x || !y) throw new UnsupportedError('an expression without a value')
  const known = agree(x, y)
  if (known === undefined) throw new UnsupportedError('a value that is lost in rounding')
  return known ? 'numeric' : withinDecimals(a, b, budget)
}

/** Whether one is a decimal literal with enough digits that rounds the other. */
function withinDecimals(a: Node, b: Node, budget: Budget): string | undefined {
  if (Math.max(decimalsOf(a), decimalsOf(b)) < toleratedDecimals) return undefined
  const [x, y] = [evaluateNumeric(a, budget), evaluateNumeric(b, budget)]
  if (!x || !y) return undefined
  const difference = Math.hypot(x.re - y.re, x.im - y.im)
  return difference < 5e-7 && difference <= 1e-6 * modulus(x) ? 'decimal' : undefined
}

/** Whether two values are the same within their errors; undefined where the errors are too large to tell. */
export function agree(a: Approximate, b: Approximate): boolean | undefined {
  const difference = Math.hypot(a.re - b.re, a.im - b.im)
  const error = errorFactor * (a.error + b.error)
  if (difference > error) return false
  const size = Math.max(modulus(a), modulus(b))
  return error <= unreliable * size || error <= 1e-10 ? true : undefined
}

type PointKind = 'real' | 'integer' | 'whole' | 'complex'

/** Whole numbers, all of which are tried where one variable stands inside ⌊ ⌋: their number is prime. */
const wholes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 24, 37, 60, 101]

/** A variable's value at a point: the same for the same name, apart from others. */
function valueAt(name: string, point: number, kind: PointKind): Approximate {
  if (kind === 'whole') {
    const seed = name.charCodeAt(0)
    const value = wholes[(seed + point * (1 + (seed % 16))) % wholes.length] as number
    return { re: value, im: 0, error: 0 }
  }
  let seed = 0x9e3779b9 ^ Math.imul(point + 1, 0x85ebca6b)
  for (const character of name) seed = Math.imul(seed ^ character.charCodeAt(0), 0x01000193)
  seed ^= seed >>> 15
  seed = Math.imul(seed, 0x2c1b3c6d)
  seed ^= seed >>> 12
  seed = Math.imul(seed, 0x297a2d39)
  seed ^= seed >>> 15
  const uniform = (seed >>> 0) / 2 ** 32
  if (kind === 'integer') return { re: 2 + ((seed >>> 0) % 9), im: 0, error: 0 }
  if (kind === 'complex') return { re: 0.4 + uniform, im: 1.3 - uniform * 0.9, error: 0 }
  const [from, to] = ranges[point % ranges.length] as readonly [number, number]
  return { re: from + uniform * (to - from), im: 0, error: 0 }
}

/** Where real variables are tried: in the domains of logarithms and inverse functions, near 1 for large powers, and beyond. */
const ranges: readonly (readonly [number, number])[] = [
  [0.5, 3],
  [0.1, 0.9],
  [-0.9, -0.1],
  [1.1, 1.9],
  [-3, -0.5],
  [0.97, 1.03],
  [3, 12],
  [-12, -3],
  [-1.03, -0.97],
  [0.2, 0.7],
  [1.5, 6],
  [-2, 2],
]

type Values = Map<string, Approximate>

const pointCounts: Readonly<Record<PointKind, number>> = {
  real: realPoints,
  integer: integerPoints,
  whole: wholes.length,
  complex: complexPoints,
}

/** Calls back with the values of the variables at each point until the callback has seen enough. */
function* pointsFor(names: readonly string[], kinds: readonly PointKind[]): Generator<[Values, boolean]> {
  for (const kind of kinds) {
    const count = pointCounts[kind]
    for (let point = 0; point < count; point++) {
      yield [new Map(names.map((name) => [name, valueAt(name, point, kind)])), kind !== 'complex']
    }
  }
}

const branching = new Set([
  'root',
  'ln',
  'log',
  'abs',
  'norm',
  'floor',
  'ceil',
  'sgn',
  'max',
  'min',
  'arcsin',
  'arccos',
  'arctan',
  'factorial',
])
const branches = (node: Node): boolean =>
  some(
    node,
    (part) =>
      (part.kind === 'call' && branching.has(part.name)) ||
      (part.kind === 'power' && !(part.exponent.kind === 'number' || part.exponent.kind === 'negate')),
  )

const isStep = (node: Node): boolean => node.kind === 'call' && (node.name === 'floor' || node.name === 'ceil')

const tooSmall = 1e-250

/**
 * The values of two expressions at points where both have one. Real points first; complex ones where no function has branches;
 * whole numbers where the others gave too few.
 */
export function* sharedValues(a: Node, b: Node, budget: Budget): Generator<[Approximate, Approximate]> {
  const names = [...new Set([...symbolsOf(a), ...symbolsOf(b)])].filter((name) => !name.startsWith('function '))
  const imaginary = (node: Node) => node.kind === 'constant' && node.name === 'i'
  const onlyReal = !some(a, imaginary) && !some(b, imaginary)
  // n inside ⌊ ⌋ stands for whole numbers.
  const stepped = (some(a, isStep) || some(b, isStep)) && names.every((name) => /^[nkmN]$/.test(name))
  const kinds: PointKind[] = stepped ? ['whole'] : branches(a) || branches(b) ? ['real'] : ['real', 'complex']
  let found = 0
  for (const rounds of [kinds, ['integer'] as const]) {
    if (found >= neededPoints) return
    for (const [values, isReal] of pointsFor(names, rounds)) {
      const x = evaluateNumeric(a, budget, values, onlyReal && isReal)
      const y = x && evaluateNumeric(b, budget, values, onlyReal && isReal)
      if (!x || !y || (isTiny(x) && isTiny(y))) continue
      found++
      yield [x, y]
    }
  }
}

const isTiny = (value: Approximate): boolean => modulus(value) < tooSmall && modulus(value) > 0

function equalEverywhere(a: Node, b: Node, budget: Budget): boolean {
  let found = 0
  for (const [x, y] of sharedValues(a, b, budget)) {
    const same = agree(x, y)
    if (same === false) return false
    if (same) found++
  }
  if (found < neededPoints) throw new UnsupportedError('too few points with a value')
  return true
}

/** The constant c with a = c·b at all points, or undefined: c is 1 where both vanish everywhere. */
export function proportion(a: Node, b: Node, budget: Budget): number | undefined {
  let ratio: Approximate | undefined
  let found = 0
  let vanishing = 0
  for (const [x, y] of sharedValues(a, b, budget)) {
    const zeros = [modulus(x) <= errorFactor * x.error, modulus(y) <= errorFactor * y.error]
    if (zeros[0] !== zeros[1]) return undefined
    if (zeros[0]) {
      vanishing++
      continue
    }
    const next = quotient(x, y)
    if (ratio && agreeRatio(ratio, next) === false) return undefined
    ratio ??= next
    found++
  }
  if (found === 0 && vanishing >= neededPoints) return 1
  if (found < neededPoints || !ratio) throw new UnsupportedError('too few points with a value')
  return Math.abs(ratio.im) <= errorFactor * ratio.error + 1e-12 * Math.abs(ratio.re) ? ratio.re : Number.NaN
}

/** Values of the name at which an equation is looked at besides its solution. */
const probes = [-2.6180339, -0.7320508, 0.4142135, 1.7724538, 3.3027756]

/**
 * Whether an expression is 0 exactly where a name has the given value: it vanishes there, and is a quotient of two linear functions
 * of the name, which has one zero. For such a function the cross-ratio of four values is that of their places.
 */
export function isSolvedBy(expression: Node, name: string, value: Node, budget: Budget): boolean {
  const others = [...symbolsOf(value), ...symbolsOf(expression)].filter((symbol) => symbol !== name)
  let found = 0
  for (const [values] of pointsFor([...new Set(others)], ['real'])) {
    const at = evaluateNumeric(value, budget, values, true)
    const zero = at && evaluateNumeric(expression, budget, new Map([...values, [name, at]]), true)
    const images = probes.map((re) =>
      evaluateNumeric(expression, budget, new Map([...values, [name, { re, im: 0, error: 0 }]]), true),
    )
    if (!zero || images.includes(undefined)) continue
    const [w, x, y, ...rest] = (images as Approximate[]).map(({ re }) => re) as [number, number, number]
    if (modulus(zero) > errorFactor * zero.error + 1e-12 * Math.max(Math.abs(w), Math.abs(x))) return false
    const [p, q, r, ...places] = probes as [number, number, number]
    for (const [i, z] of rest.entries()) {
      const expected = crossRatio(p, q, r, (places as number[])[i] as number)
      if (Math.abs(crossRatio(w, x, y, z) - expected) > 1e-9 * Math.abs(expected)) return false
    }
    found++
  }
  return found >= neededPoints
}

const crossRatio = (a: number, b: number, c: number, d: number): number => ((a - c) * (b - d)) / ((b - c) * (a - d))

function quotient(x: Approximate, y: Approximate): Approximate {
  const size = modulus(y)
  const [re, im] = [(x.re * y.re + x.im * y.im) / size / size, (x.im * y.re - x.re * y.im) / size / size]
  const error = (x.error + (modulus(x) / size) * y.error) / size + 4e-16 * Math.hypot(re, im)
  return { re, im, error }
}

const agreeRatio = (a: Approximate, b: Approximate): boolean =>
  Math.hypot(a.re - b.re, a.im - b.im) <= errorFactor * (a.error + b.error)
