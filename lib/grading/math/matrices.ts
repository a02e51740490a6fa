import { maximumNodes } from './budget.js'
import { type Node, partsOf } from './syntax.js'

type Matrix = Extract<Node, { kind: 'matrix' }>

/** Sums, products and transposes of matrices written out, so that only their cells are compared. */
export function simplifyMatrix(node: Node): Node {
  switch (node.kind) {
    case 'negate':
      return negated(node.of) ?? mapCells(node.of, (cell) => ({ kind: 'negate', of: cell })) ?? node
    case 'divide':
      return (
        mapCells(node.numerator, (cell) => ({ kind: 'divide', numerator: cell, denominator: node.denominator })) ?? node
      )
    case 'multiply':
      return multiple(node.factors) ?? node
    case 'add':
      return sum(node.terms) ?? node
    case 'call':
      return node.name === 'transpose' ? (transpose(node.arguments[0] as Node) ?? node) : node
    default:
      return node
  }
}

/** −(1, 2) is (−1, −2). */
function negated(node: Node): Node | undefined {
  if (node.kind !== 'bracket' || node.open !== '(' || node.close !== ')') return undefined
  return { ...node, items: node.items.map((of): Node => ({ kind: 'negate', of })) }
}

function asMatrix(node: Node): Matrix | undefined {
  const simple = simplifyMatrix(node)
  return simple.kind === 'matrix' ? simple : undefined
}

function mapCells(node: Node, change: (cell: Node) => Node): Matrix | undefined {
  const matrix = asMatrix(node)
  return matrix && { kind: 'matrix', rows: matrix.rows.map((row) => row.map(change)) }
}

/** Scalars times matrices, multiplied from left to right. */
function multiple(factors: readonly Node[]): Matrix | undefined {
  const matrices = factors.flatMap((factor) => asMatrix(factor) ?? [])
  const [first, ...others] = matrices
  if (!first) return undefined
  const product = others.reduce<Matrix | undefined>((left, right) => left && timesMatrix(left, right), first)
  const scalars = factors.filter((factor) => !asMatrix(factor))
  if (!product || scalars.length === 0) return product
  return mapCells(product, (cell) => ({ kind: 'multiply', factors: [...scalars, cell] }))
}

/** Rows and columns beyond which products are not written out. */
const largestProduct = 6

function timesMatrix(left: Matrix, right: Matrix): Matrix | undefined {
  const [inner, columns] = [right.rows.length, right.rows[0]?.length ?? 0]
  if (Math.max(left.rows.length, inner, columns) > largestProduct) return undefined
  if (left.rows.some((row) => row.length !== inner) || right.rows.some((row) => row.length !== columns))
    return undefined
  const cell = (row: readonly Node[], j: number): Node => ({
    kind: 'add',
    terms: row.map((factor, k): Node => ({ kind: 'multiply', factors: [factor, right.rows[k]?.[j] as Node] })),
  })
  const rows = left.rows.map((row) => Array.from({ length: columns }, (_, j) => cell(row, j)))
  // Each factor more multiplies the parts of a cell; they are shared in memory, and looked at one by one.
  return rows.flat().reduce((left, node) => left - sizeWithin(node, left), maximumNodes) > 0
    ? { kind: 'matrix', rows }
    : undefined
}

/** How many parts a node has, or the limit where it has more. */
function sizeWithin(node: Node, limit: number): number {
  let size = 1
  for (const part of partsOf(node)) {
    if (size >= limit) return limit
    size += sizeWithin(part, limit - size)
  }
  return Math.min(size, limit)
}

function sum(terms: readonly Node[]): Matrix | undefined {
  const matrices = terms.map(asMatrix)
  const [first] = matrices
  if (!first || matrices.includes(undefined)) return undefined
  const known = matrices as Matrix[]
  if (known.some(({ rows }) => rows.length !== first.rows.length)) return undefined
  const rows = first.rows.map((row, i) =>
    row.map((_, j): Node => ({ kind: 'add', terms: known.flatMap((matrix) => matrix.rows[i]?.[j] ?? []) })),
  )
  return { kind: 'matrix', rows }
}

function transpose(node: Node): Matrix | undefined {
  if (node.kind === 'bracket') return { kind: 'matrix', rows: node.items.map((item) => [item]) }
  const matrix = asMatrix(node)
  const columns = matrix?.rows[0]?.length ?? 0
  if (!matrix || matrix.rows.some((row) => row.length !== columns)) return undefined
  return { kind: 'matrix', rows: Array.from({ length: columns }, (_, j) => matrix.rows.map((row) => row[j] as Node)) }
}
