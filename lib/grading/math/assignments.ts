import { type Node, some, symbolsOf } from './syntax.js'

type Relation = Extract<Node, { kind: 'relation' }>

/** A name with what it is said to be. */
export interface Assignment {
  name: string
  value: Node
}

/** What stands on the left of `x = 5`, `f(x) = …`, `\text{Area} = …`, `|AB| = …`; undefined where it is no name. */
export function nameOf(node: Node): string | undefined {
  switch (node.kind) {
    case 'symbol':
      return node.name
    case 'constant':
      return node.name === 'e' || node.name === 'i' ? node.name : undefined
    case 'text':
      return `text ${node.text.toLowerCase()}`
    case 'unit':
      return nameOf(node.of)
    case 'divide':
      return derivativeName(nameOf(node.numerator), nameOf(node.denominator))
    case 'call':
      return callName(node)
    case 'multiply':
      return productName(node.factors)
    case 'matrix':
    case 'bracket': {
      const names = (node.kind === 'bracket' ? node.items : node.rows.flat()).map(nameOf)
      return names.includes(undefined) ? undefined : `(${names.join(',')})`
    }
    default:
      return undefined
  }
}

/** `dy/dx`. */
const derivativeName = (above: string | undefined, below: string | undefined): string | undefined =>
  above?.startsWith('d') && below?.startsWith('d ') ? `${above}/${below}` : undefined

function callName({ name, arguments: given }: Extract<Node, { kind: 'call' }>): string | undefined {
  const inside = given.map((item) => nameOf(item) ?? (item.kind === 'number' ? `${item.value.numerator}` : undefined))
  if (inside.includes(undefined) || !(name.startsWith('function ') || name === 'abs' || name === 'norm'))
    return undefined
  return `${name}(${inside.join(',')})`
}

/** `p(x)`, which reads as a product, and names of several letters such as AB. */
function productName(factors: readonly Node[]): string | undefined {
  const names = factors.map((factor) =>
    factor.kind === 'symbol' || factor.kind === 'text' ? nameOf(factor) : undefined,
  )
  return names.includes(undefined) || factors.length > 4 ? undefined : names.join(' ')
}

/** An equation that only says what a name is: `x = 5`, not `2x + z = 1` nor `x = 2x − 5`. Of a chain the last part counts. */
export function assignmentOf(node: Node): Assignment | undefined {
  if (node.kind !== 'relation' || !node.operators.every((operator) => '=≈'.includes(operator))) return undefined
  const [left] = node.operands as [Node, Node]
  const name = nameOf(left)
  if (name === undefined) return undefined
  const value = lastExact(node)
  const own = left.kind === 'symbol' ? left.name : undefined
  return own !== undefined && symbolsOf(value).has(own) ? undefined : { name, value }
}

/** The last part of a chain before an approximation begins. */
export function lastExact({ operands, operators }: Relation): Node {
  const approximation = operators.indexOf('≈', 1)
  return operands[approximation > 0 ? approximation : operands.length - 1] as Node
}

/** What follows the sign ≈, which a gold answer accepts as well. */
export function approximationsOf(node: Node): Node[] {
  if (node.kind !== 'relation') return []
  return node.operators.flatMap((operator, i) => (operator === '≈' ? [node.operands[i + 1] as Node] : []))
}

/** Several names with one value each, or one name with several: undefined where an item is something else. */
export function recordOf(node: Node): Map<string, Node[]> | undefined {
  const items = node.kind === 'list' ? node.items : [node]
  const record = new Map<string, Node[]>()
  let current: string | undefined
  for (const item of items) {
    const assignment = assignmentOf(item)
    if (assignment) {
      for (const name of namesOf(item as Relation)) record.set(name, [...(record.get(name) ?? []), assignment.value])
      current = assignment.name
      continue
    }
    // "n = 2, 3, 4": values of the one name that came before.
    if (current === undefined || record.size !== 1 || some(item, ({ kind }) => kind === 'relation')) return undefined
    record.set(current, [...(record.get(current) ?? []), item])
  }
  return record.size > 0 ? record : undefined
}

/** The names that a chain gives one value: x and y in `x = y = 2`. */
function namesOf({ operands }: Relation): string[] {
  const names = operands.slice(0, -1).map(nameOf)
  return names.includes(undefined) ? [names[0] as string] : (names as string[])
}
