import type { Node } from './syntax.js'

/** The same node with its parts replaced. */
export function rebuild(node: Node, replace: (part: Node) => Node): Node {
  const build = builders[node.kind] as ((node: Node, replace: (part: Node) => Node) => Node) | undefined
  return build ? build(node, replace) : node
}

const builders: {
  [Kind in Node['kind']]?: (node: Extract<Node, { kind: Kind }>, replace: (part: Node) => Node) => Node
} = {
  add: (node, replace) => ({ ...node, terms: node.terms.map(replace) }),
  multiply: (node, replace) => ({ ...node, factors: node.factors.map(replace) }),
  divide: (node, replace) => ({ ...node, numerator: replace(node.numerator), denominator: replace(node.denominator) }),
  negate: (node, replace) => ({ ...node, of: replace(node.of) }),
  power: (node, replace) => ({ ...node, base: replace(node.base), exponent: replace(node.exponent) }),
  call: (node, replace) => ({ ...node, arguments: node.arguments.map(replace) }),
  plusMinus: (node, replace) => ({ ...node, left: node.left && replace(node.left), right: replace(node.right) }),
  percent: (node, replace) => ({ ...node, of: replace(node.of) }),
  degrees: (node, replace) => ({ ...node, of: replace(node.of) }),
  unit: (node, replace) => ({ ...node, of: replace(node.of) }),
  ratio: (node, replace) => ({ ...node, parts: node.parts.map(replace) }),
  list: (node, replace) => ({ ...node, items: node.items.map(replace) }),
  bracket: (node, replace) => ({ ...node, items: node.items.map(replace) }),
  set: (node, replace) => ({ ...node, items: node.items.map(replace) }),
  builder: (node, replace) => ({ ...node, element: replace(node.element), conditions: node.conditions.map(replace) }),
  matrix: (node, replace) => ({ ...node, rows: node.rows.map((row) => row.map(replace)) }),
  combine: (node, replace) => ({ ...node, parts: node.parts.map(replace) }),
  relation: (node, replace) => ({ ...node, operands: node.operands.map(replace) }),
  series: (node, replace) => ({ ...node, from: replace(node.from), to: replace(node.to), body: replace(node.body) }),
}
