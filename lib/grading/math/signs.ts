import { maximumSignChoices, UnsupportedError } from './budget.js'
import { rebuild } from './rebuild.js'
import { type Node, some } from './syntax.js'

const isSign = ({ kind }: Node): boolean => kind === 'plusMinus'

/**
 * An answer with the sign ± as the list of what it stands for. Signs are chosen apart from each other, but together where the
 * answer has ∓ too.
 */
export function expandSigns(node: Node): Node {
  if (!some(node, isSign)) return node
  if (node.kind === 'list') {
    const items = node.items.flatMap((item) => {
      const expanded = expandSigns(item)
      return expanded.kind === 'list' && item.kind !== 'list' ? expanded.items : [expanded]
    })
    return { ...node, items }
  }
  if (node.kind === 'set') {
    return { ...node, items: node.items.flatMap((item) => (some(item, isSign) ? choices(item) : [item])) }
  }
  // `x ≠ ±1` excludes both.
  const excludes = node.kind === 'relation' && node.operators.every((operator) => operator === '≠' || operator === '∉')
  return { kind: 'list', items: choices(node), join: excludes ? 'and' : 'or' }
}

function choices(node: Node): Node[] {
  const tied = some(node, (part) => part.kind === 'plusMinus' && part.sign < 0)
  let signs = 0
  some(node, (part) => {
    if (part.kind === 'plusMinus') signs++
    return false
  })
  const bits = tied ? 1 : signs
  if (2 ** bits > maximumSignChoices) throw new UnsupportedError('too many signs')
  return Array.from({ length: 2 ** bits }, (_, choice) => {
    let next = 0
    return choose(node, () => (tied ? choice : choice >> next++) & 1)
  })
}

function choose(node: Node, bit: () => number): Node {
  if (node.kind !== 'plusMinus') return rebuild(node, (part) => choose(part, bit))
  const left = node.left && choose(node.left, bit)
  const negative = (bit() === 1) === node.sign > 0
  const inside = choose(node.right, bit)
  const right: Node = negative ? { kind: 'negate', of: inside } : inside
  return left ? { kind: 'add', terms: [left, right] } : right
}
