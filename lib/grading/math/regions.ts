import type { Budget } from './budget.js'
import { evaluateExact } from './exact.js'
import { evaluateNumeric } from './numeric.js'
import { add, compare, divide, equals, isZero, negate, type Rational, rational, subtract } from './rational.js'
import { signOfInfinity } from './scalars.js'
import { type Node, type RelationOperator, symbolsOf } from './syntax.js'

/** One piece of a set of real numbers. Bounds are kept as written, so that they can be compared exactly. */
export interface Piece {
  low: number
  high: number
  lowNode: Node | undefined
  highNode: Node | undefined
  lowClosed: boolean
  highClosed: boolean
}

/** A set of real numbers, in order and without overlaps, and the variable that it is for, where one is named. */
export interface Region {
  pieces: Piece[]
  variable: string | undefined
}

const everything: Piece = {
  low: Number.NEGATIVE_INFINITY,
  high: Number.POSITIVE_INFINITY,
  lowNode: undefined,
  highNode: undefined,
  lowClosed: false,
  highClosed: false,
}

/** The set of real numbers that an interval, a union, an inequality or a condition describes; undefined where it is none. */
export function regionOf(node: Node, budget: Budget): Region | undefined {
  return new Reader(budget).region(node)
}

/** ℝ, and its positive and negative numbers. */
function numbersNamed(name: string): Region | undefined {
  const zero: Node = { kind: 'number', value: rational(0n) }
  const pieces: Readonly<Record<string, Piece>> = {
    ℝ: everything,
    'ℝ+': { ...everything, low: 0, lowNode: zero },
    'ℝ>0': { ...everything, low: 0, lowNode: zero },
    'ℝ-': { ...everything, high: 0, highNode: zero },
    'ℝ<0': { ...everything, high: 0, highNode: zero },
  }
  const piece = pieces[name]
  return piece && { pieces: [piece], variable: undefined }
}

class Reader {
  constructor(private readonly budget: Budget) {}

  region(node: Node): Region | undefined {
    switch (node.kind) {
      case 'bracket':
        return this.interval(node)
      case 'set':
        return this.points(node.items)
      case 'numbers':
        return numbersNamed(node.name)
      case 'combine':
        return this.combined(node)
      case 'relation':
        return this.relation(node)
      case 'list':
        return this.conditions(node.items, node.join)
      case 'builder':
        return this.builder(node)
      default:
        return undefined
    }
  }

  private bound(node: Node): number | undefined {
    const infinite = signOfInfinity(node)
    if (infinite !== 0) return infinite * Number.POSITIVE_INFINITY
    if (symbolsOf(node).size > 0) return undefined
    const value = evaluateNumeric(node, this.budget)
    return value && Math.abs(value.im) <= 1e-12 ? value.re : undefined
  }

  private interval({ open, close, items }: Extract<Node, { kind: 'bracket' }>): Region | undefined {
    if (items.length !== 2) return undefined
    const [lowNode, highNode] = items as [Node, Node]
    const [low, high] = [this.bound(lowNode), this.bound(highNode)]
    if (low === undefined || high === undefined || low > high) return undefined
    const piece = { low, high, lowNode, highNode, lowClosed: open === '[', highClosed: close === ']' }
    return { pieces: [piece].filter(isNotEmpty), variable: undefined }
  }

  private points(items: readonly Node[]): Region | undefined {
    const pieces: Piece[] = []
    for (const node of items) {
      const value = this.bound(node)
      if (value === undefined || !Number.isFinite(value)) return undefined
      pieces.push({ low: value, high: value, lowNode: node, highNode: node, lowClosed: true, highClosed: true })
    }
    return { pieces: merge(pieces), variable: undefined }
  }

  private combined({ operator, parts }: Extract<Node, { kind: 'combine' }>): Region | undefined {
    const regions = parts.map((part) => this.region(part))
    if (regions.includes(undefined)) return undefined
    return (regions as Region[]).reduce((a, b) => {
      const variable = a.variable ?? b.variable
      if (operator === '∪') return { pieces: merge([...a.pieces, ...b.pieces]), variable }
      return { pieces: intersect(a.pieces, operator === '∩' ? b.pieces : complement(b.pieces)), variable }
    })
  }

  private builder({ element, conditions }: Extract<Node, { kind: 'builder' }>): Region | undefined {
    const all = element.kind === 'relation' ? [element, ...conditions] : conditions
    const variables = symbolsOf(element)
    const region = this.conditions(all, ',')
    if (!region || variables.size !== 1) return undefined
    return region.variable === undefined || variables.has(region.variable)
      ? { pieces: region.pieces, variable: undefined }
      : undefined
  }

  private conditions(items: readonly Node[], join: 'and' | 'or' | ','): Region | undefined {
    const excluded = excludedValues(items)
    if (excluded) return this.conditions(excluded, 'and')
    if (!items.every(({ kind }) => ['relation', 'bracket', 'combine', 'list'].includes(kind))) return undefined
    const regions = items.map((item) => this.region(item))
    if (regions.includes(undefined) || regions.length === 0) return undefined
    const known = regions as Region[]
    const variables = new Set(known.map(({ variable }) => variable))
    if (variables.size !== 1) return undefined
    const variable = known[0]?.variable
    const union = merge(known.flatMap(({ pieces }) => pieces))
    if (join === 'or') return { pieces: union, variable }
    const intersection = known.map(({ pieces }) => pieces).reduce(intersect)
    // "x < 1, x > 3" can only mean one or the other.
    return { pieces: intersection.length === 0 && join === ',' ? union : intersection, variable }
  }

  private relation({ operands, operators }: Extract<Node, { kind: 'relation' }>): Region | undefined {
    let result: Region | undefined
    for (const [i, operator] of operators.entries()) {
      const next = this.comparison(operands[i] as Node, operator, operands[i + 1] as Node)
      if (!next || (result && result.variable !== next.variable)) return undefined
      result = result ? { pieces: intersect(result.pieces, next.pieces), variable: next.variable } : next
    }
    return result
  }

  private comparison(left: Node, operator: RelationOperator, right: Node): Region | undefined {
    if (operator === '∈' || operator === '∉') {
      const region = left.kind === 'symbol' ? this.region(right) : undefined
      if (!region || left.kind !== 'symbol') return undefined
      return { pieces: operator === '∈' ? region.pieces : complement(region.pieces), variable: left.name }
    }
    if (left.kind === 'symbol') return this.solved(left.name, operator, right)
    if (right.kind === 'symbol') return this.solved(right.name, flipped[operator] ?? operator, left)
    return (
      this.magnitude(left, operator, right) ??
      this.magnitude(right, flipped[operator] ?? operator, left) ??
      this.linear(left, operator, right)
    )
  }

  private solved(variable: string, operator: RelationOperator, bound: Node): Region | undefined {
    const value = this.bound(bound)
    if (value === undefined) return undefined
    const from = { ...everything, low: value, lowNode: bound }
    const to = { ...everything, high: value, highNode: bound }
    const point = { ...from, high: value, highNode: bound, lowClosed: true, highClosed: true }
    const piecesOf: Partial<Record<RelationOperator, Piece[]>> = {
      '>': [from],
      '≥': [{ ...from, lowClosed: Number.isFinite(value) }],
      '<': [to],
      '≤': [{ ...to, highClosed: Number.isFinite(value) }],
      '=': [point],
      '≠': complement([point]),
    }
    const pieces = piecesOf[operator]?.filter(isNotEmpty)
    return pieces && { pieces, variable }
  }

  /** |x − a| against a constant. */
  private magnitude(left: Node, operator: RelationOperator, right: Node): Region | undefined {
    if (left.kind !== 'call' || left.name !== 'abs' || symbolsOf(right).size > 0) return undefined
    const inside = left.arguments[0] as Node
    const lower: Node = { kind: 'negate', of: right }
    if (operator === '<' || operator === '≤') {
      return this.relation({ kind: 'relation', operands: [lower, inside, right], operators: [operator, operator] })
    }
    if (operator !== '>' && operator !== '≥') return undefined
    const above = this.comparison(inside, operator, right)
    const below = this.comparison(inside, flipped[operator] as RelationOperator, lower)
    return above && below && { pieces: merge([...below.pieces, ...above.pieces]), variable: above.variable }
  }

  /** a·x + b against 0, with rational a and b. */
  private linear(left: Node, operator: RelationOperator, right: Node): Region | undefined {
    const names = new Set([...symbolsOf(left), ...symbolsOf(right)])
    const [variable] = names
    if (names.size !== 1 || variable === undefined) return undefined
    const at = (value: bigint): Rational | undefined => {
      const values = new Map([[variable, rational(value)]])
      const [a, b] = [evaluateExact(left, this.budget, values), evaluateExact(right, this.budget, values)]
      return a && b && subtract(a, b)
    }
    const [zero, one, five] = [at(0n), at(1n), at(5n)]
    if (!zero || !one || !five) return undefined
    const slope = subtract(one, zero)
    if (isZero(slope) || !equals(five, add(zero, scaled(slope, 5n)))) return undefined
    const bound: Node = { kind: 'number', value: divide(negate(zero), slope) }
    const direction = compare(slope, rational(0n)) > 0 ? operator : (flipped[operator] ?? operator)
    return this.solved(variable, direction, bound)
  }
}

const scaled = ({ numerator, denominator }: Rational, factor: bigint): Rational =>
  rational(numerator * factor, denominator)

export const flipped: Partial<Record<RelationOperator, RelationOperator>> = { '<': '>', '>': '<', '≤': '≥', '≥': '≤' }

/** `x ≠ 1, 2` excludes both; undefined where the list says something else. */
function excludedValues([first, ...rest]: readonly Node[]): Node[] | undefined {
  if (first?.kind !== 'relation' || first.operators.length !== 1 || first.operators[0] !== '≠') return undefined
  if (rest.length === 0 || rest.some(({ kind }) => kind === 'relation')) return undefined
  const [name] = first.operands as [Node, Node]
  return [first, ...rest.map((value): Node => ({ kind: 'relation', operands: [name, value], operators: ['≠'] }))]
}

const isNotEmpty = ({ low, high, lowClosed, highClosed }: Piece): boolean =>
  low < high || (low === high && lowClosed && highClosed)

/** Pieces in order, joined where they touch. */
function merge(pieces: readonly Piece[]): Piece[] {
  const sorted = [...pieces].sort((a, b) => a.low - b.low || Number(b.lowClosed) - Number(a.lowClosed))
  const merged: Piece[] = []
  for (const piece of sorted) {
    const last = merged.at(-1)
    const touches =
      last && (piece.low < last.high || (near(piece.low, last.high) && (piece.lowClosed || last.highClosed)))
    if (!last || !touches) merged.push({ ...piece })
    else if (piece.high > last.high || (near(piece.high, last.high) && piece.highClosed)) {
      last.high = piece.high
      last.highNode = piece.highNode
      last.highClosed = piece.highClosed
    }
  }
  return merged
}

const near = (a: number, b: number): boolean => a === b || Math.abs(a - b) <= 1e-12 * Math.max(Math.abs(a), Math.abs(b))

function intersect(a: readonly Piece[], b: readonly Piece[]): Piece[] {
  return a
    .flatMap((x) =>
      b.map((y) => {
        const lower = x.low > y.low || (x.low === y.low && !x.lowClosed) ? x : y
        const upper = x.high < y.high || (x.high === y.high && !x.highClosed) ? x : y
        return {
          low: lower.low,
          lowNode: lower.lowNode,
          lowClosed: lower.lowClosed,
          high: upper.high,
          highNode: upper.highNode,
          highClosed: upper.highClosed,
        }
      }),
    )
    .filter(isNotEmpty)
}

function complement(pieces: readonly Piece[]): Piece[] {
  const gaps: Piece[] = []
  let start: Pick<Piece, 'low' | 'lowNode' | 'lowClosed'> = everything
  for (const piece of pieces) {
    gaps.push({
      ...start,
      high: piece.low,
      highNode: piece.lowNode,
      highClosed: !piece.lowClosed && Number.isFinite(piece.low),
    })
    start = { low: piece.high, lowNode: piece.highNode, lowClosed: !piece.highClosed && Number.isFinite(piece.high) }
  }
  gaps.push({ ...start, high: everything.high, highNode: undefined, highClosed: false })
  return gaps.filter(isNotEmpty)
}

/** Whether two sets are the same, by a comparison of their finite bounds. */
export function equalRegions(a: Region, b: Region, same: (a: Node, b: Node) => boolean): boolean {
  if (a.variable !== undefined && b.variable !== undefined && a.variable !== b.variable) return false
  if (a.pieces.length !== b.pieces.length) return false
  const equalBounds = (x: number, y: number, xNode: Node | undefined, yNode: Node | undefined): boolean =>
    Number.isFinite(x) && Number.isFinite(y) && xNode && yNode ? same(xNode, yNode) : x === y
  return a.pieces.every((x, i) => {
    const y = b.pieces[i] as Piece
    const infinite = { low: !Number.isFinite(x.low), high: !Number.isFinite(x.high) }
    return (
      (infinite.low || x.lowClosed === y.lowClosed) &&
      (infinite.high || x.highClosed === y.highClosed) &&
      equalBounds(x.low, y.low, x.lowNode, y.lowNode) &&
      equalBounds(x.high, y.high, x.highNode, y.highNode)
    )
  })
}
