import type { Rational } from './rational.js'

export type Constant = 'pi' | 'e' | 'i' | 'infinity'

export type RelationOperator = '=' | '≠' | '<' | '>' | '≤' | '≥' | '∈' | '∉' | '≈' | '≡' | '→' | '~' | '∣' | '⊂'

/** What an answer says. Structures may stand wherever an expression may; evaluation refuses them there. */
export type Node =
  /** `decimals` counts the digits after the point of a decimal literal; undefined for integers and exact fractions. */
  | { kind: 'number'; value: Rational; decimals?: number }
  | { kind: 'constant'; name: Constant }
  | { kind: 'symbol'; name: string }
  | { kind: 'add'; terms: Node[] }
  | { kind: 'multiply'; factors: Node[] }
  | { kind: 'divide'; numerator: Node; denominator: Node }
  | { kind: 'negate'; of: Node }
  | { kind: 'power'; base: Node; exponent: Node }
  | { kind: 'call'; name: string; arguments: Node[] }
  /** `sign` is 1 for ±, −1 for ∓: those of one answer are chosen together where both occur. */
  | { kind: 'plusMinus'; sign: 1 | -1; left: Node | undefined; right: Node }
  | { kind: 'percent'; of: Node }
  | { kind: 'degrees'; of: Node }
  | { kind: 'unit'; of: Node; unit: string }
  | { kind: 'based'; digits: string; base: string }
  | { kind: 'ratio'; parts: Node[] }
  | { kind: 'list'; items: Node[]; join: 'and' | 'or' | ',' }
  | { kind: 'bracket'; open: '(' | '['; close: ')' | ']'; items: Node[] }
  | { kind: 'set'; items: Node[] }
  /** A set by its condition. */
  | { kind: 'builder'; element: Node; conditions: Node[] }
  | { kind: 'numbers'; name: string }
  | { kind: 'matrix'; rows: Node[][] }
  | { kind: 'combine'; operator: '∪' | '∩' | '∖'; parts: Node[] }
  | { kind: 'relation'; operands: Node[]; operators: RelationOperator[] }
  /** A finite sum or product. */
  | { kind: 'series'; name: 'sum' | 'product'; index: string; from: Node; to: Node; body: Node }
  | { kind: 'text'; text: string }

/** The parts of a node. */
export function partsOf(node: Node): readonly Node[] {
  return partsByKind[node.kind](node as never)
}

const none = (): readonly Node[] => []
const partsByKind: { [Kind in Node['kind']]: (node: Extract<Node, { kind: Kind }>) => readonly Node[] } = {
  number: none,
  constant: none,
  symbol: none,
  numbers: none,
  based: none,
  text: none,
  add: ({ terms }) => terms,
  multiply: ({ factors }) => factors,
  divide: ({ numerator, denominator }) => [numerator, denominator],
  negate: ({ of }) => [of],
  power: ({ base, exponent }) => [base, exponent],
  call: (node) => node.arguments,
  plusMinus: ({ left, right }) => (left ? [left, right] : [right]),
  percent: ({ of }) => [of],
  degrees: ({ of }) => [of],
  unit: ({ of }) => [of],
  ratio: ({ parts }) => parts,
  list: ({ items }) => items,
  bracket: ({ items }) => items,
  set: ({ items }) => items,
  builder: ({ element, conditions }) => [element, ...conditions],
  matrix: ({ rows }) => rows.flat(),
  combine: ({ parts }) => parts,
  relation: ({ operands }) => operands,
  series: ({ from, to, body }) => [from, to, body],
}

/** Whether a node or one inside it answers. */
export function some(node: Node, test: (node: Node) => boolean): boolean {
  return test(node) || partsOf(node).some((part) => some(part, test))
}

/** The names of variables, those that a sum binds left out. */
export function symbolsOf(node: Node, found: Set<string> = new Set()): Set<string> {
  if (node.kind === 'symbol') found.add(node.name)
  if (node.kind === 'call' && node.name.startsWith('function ')) found.add(node.name)
  if (node.kind === 'series') {
    const inside = symbolsOf(node.body)
    inside.delete(node.index)
    for (const name of inside) found.add(name)
    symbolsOf(node.from, found)
    symbolsOf(node.to, found)
    return found
  }
  for (const part of partsOf(node)) symbolsOf(part, found)
  return found
}
