import { assignmentOf, recordOf } from './assignments.js'
import { Budget, maximumExpressionLength, UnsupportedError } from './budget.js'
import { expressionText } from './expressionText.js'
import { bare } from './extract.js'
import { simplifyMatrix } from './matrices.js'
import { NotMathematics, parseMath } from './parse.js'
import { quantityOf } from './quantities.js'
import { regionOf } from './regions.js'
import { expandSigns } from './signs.js'
import type { Node } from './syntax.js'
import { normaliseWords, readChoice } from './words.js'

/**
 * An answer as a text for votes: equal answers have the same text wherever an exact form shows that they are equal. Different
 * texts may still be equal by probing, which only a comparison finds. Never throws.
 */
export function canonicalMath(extracted: string): string {
  if (extracted.length > maximumExpressionLength) return extracted.trim()
  const text = bare(extracted)
  const choice = readChoice(text)
  if (choice) return choice.letter
  try {
    return new Writer(new Budget()).text(parseMath(text))
  } catch (error) {
    if (!(error instanceof UnsupportedError) && !(error instanceof NotMathematics)) throw error
    return normaliseWords(text) || text
  }
}

class Writer {
  constructor(private readonly budget: Budget) {}

  text(node: Node): string {
    const simple = simplifyMatrix(expandSigns(node))
    const region = this.region(simple)
    if (region !== undefined) return region
    switch (simple.kind) {
      case 'list':
        return this.list(simple)
      case 'set':
        return simple.items.length === 1 ? this.text(simple.items[0] as Node) : this.unordered(simple.items)
      case 'bracket':
        return `${simple.open}${this.all(simple.items).join(', ')}${simple.close}`
      case 'matrix':
        return `[${simple.rows.map((row) => `[${this.all(row).join(', ')}]`).join(', ')}]`
      case 'relation':
        return this.relation(simple)
      case 'combine':
        return this.all(simple.parts).join(` ${simple.operator} `)
      case 'text':
        return normaliseWords(simple.text)
      default:
        return this.quantity(simple)
    }
  }

  private all(nodes: readonly Node[]): string[] {
    return nodes.map((node) => this.text(node))
  }

  private unordered(nodes: readonly Node[]): string {
    return [...new Set(this.all(nodes))].sort().join(', ')
  }

  /** Values that are named apart stand in the order of their names, as a tuple; values of one name are a list. */
  private list(node: Extract<Node, { kind: 'list' }>): string {
    const record = recordOf(node)
    if (!record) return this.unordered(node.items)
    const values = [...record].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, named]) => this.unordered(named))
    return values.length === 1 ? (values[0] as string) : `(${values.join(', ')})`
  }

  private relation(node: Extract<Node, { kind: 'relation' }>): string {
    const assignment = assignmentOf(node)
    if (assignment) return this.text(assignment.value)
    return node.operands
      .map((operand, i) => `${this.text(operand)}${i < node.operators.length ? ` ${node.operators[i]} ` : ''}`)
      .join('')
  }

  private quantity(node: Node): string {
    const { value, percent } = quantityOf(node)
    return expressionText(value, this.budget) + (percent ? '%' : '')
  }

  /** Inequalities and unions as intervals. A single interval or finite set keeps its own form. */
  private region(node: Node): string | undefined {
    if (!['relation', 'combine', 'builder', 'list'].includes(node.kind)) return undefined
    if (node.kind === 'relation' && node.operators.every((operator) => operator === '=')) return undefined
    if (node.kind === 'list' && recordOf(node)) return undefined
    const region = regionOf(node, this.budget)
    if (!region || region.pieces.length === 0) return undefined
    const bound = (part: Node | undefined, value: number): string =>
      part && Number.isFinite(value) ? this.text(part) : value < 0 ? '-infinity' : 'infinity'
    return region.pieces
      .map((piece) => {
        const [low, high] = [bound(piece.lowNode, piece.low), bound(piece.highNode, piece.high)]
        if (piece.low === piece.high) return `{${low}}`
        return `${piece.lowClosed ? '[' : '('}${low}, ${high}${piece.highClosed ? ']' : ')'}`
      })
      .join(' ∪ ')
  }
}
