import type { Budget } from './budget.js'
import { formatForm, type NormalForm, normalForm } from './normalForm.js'
import { format } from './rational.js'
import { type Node, partsOf } from './syntax.js'

/** The normal form of an expression, with the parts that have none as atoms. */
export function formOf(node: Node, budget: Budget): NormalForm | undefined {
  return normalForm(node, budget, (part) => partText(part, budget))
}

/** An expression as text, the same for expressions with the same normal form. */
export function expressionText(node: Node, budget: Budget): string {
  const form = formOf(node, budget)
  return form ? formatForm(form) : partText(node, budget)
}

/** What an expression does, with its parts as text: for what is not a sum of products. */
function partText(node: Node, budget: Budget): string {
  if (node.kind === 'number') return format(node.value)
  if (node.kind === 'symbol' || node.kind === 'constant' || node.kind === 'numbers') return node.name
  if (node.kind === 'text') return node.text
  if (node.kind === 'based') return `${node.digits}_${node.base}`
  const parts = partsOf(node).map((part) => expressionText(part, budget))
  const name = node.kind === 'call' ? node.name : node.kind === 'series' ? `${node.name} ${node.index}` : node.kind
  return `${name}(${parts.join(',')})`
}
