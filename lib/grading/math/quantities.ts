import { divide, type Rational, rational } from './rational.js'
import { type Node, some } from './syntax.js'
import { isKnown, readUnit, type Unit } from './units.js'

/** A value apart from what it is measured in. */
export interface Quantity {
  value: Node
  unit: Unit | undefined
  percent: boolean
  degrees: boolean
}

const multipliers: Readonly<Record<string, bigint>> = {
  hundred: 100n,
  thousand: 1000n,
  million: 1_000_000n,
  billion: 1_000_000_000n,
  trillion: 1_000_000_000_000n,
}

export const number = (value: Rational): Node => ({ kind: 'number', value })
const times = (value: Node, factor: Rational): Node =>
  factor.numerator === 1n && factor.denominator === 1n ? value : { kind: 'multiply', factors: [number(factor), value] }

/** Takes percent, degrees and units off an answer; nothing of it where they stand inside. */
export function quantityOf(node: Node): Quantity {
  const plain: Quantity = { value: node, unit: undefined, percent: false, degrees: false }
  switch (node.kind) {
    case 'percent':
      return { ...plain, value: node.of, percent: true }
    case 'degrees':
      return { ...plain, value: node.of, degrees: true }
    case 'negate': {
      const inside = quantityOf(node.of)
      return { ...inside, value: { kind: 'negate', of: inside.value } }
    }
    case 'unit':
      return withUnit(quantityOf(node.of), node.unit)
    case 'multiply':
      return temperature(node.factors) ?? plain
    default:
      return plain
  }
}

/** `20^\circ C`: a temperature, not an angle. */
function temperature(factors: readonly Node[]): Quantity | undefined {
  const [angle, scale] = factors
  if (factors.length !== 2 || angle?.kind !== 'degrees' || scale?.kind !== 'symbol' || !/^[CF]$/.test(scale.name))
    return undefined
  return { value: angle.of, unit: readUnit(`degree${scale.name}`), percent: false, degrees: false }
}

function withUnit(inside: Quantity, text: string): Quantity {
  const [first = '', ...rest] = text.trim().toLowerCase().split(/\s+/)
  const factor = multipliers[first]
  if (factor !== undefined) {
    const scaled = { ...inside, value: times(inside.value, rational(factor)) }
    return rest.length === 0 ? scaled : withUnit(scaled, rest.join(' '))
  }
  if (/^(?:percent(?:age(?: points?)?)?|pct)$/.test(text.trim().toLowerCase())) return { ...inside, percent: true }
  if (/^deg(?:ree)?s?$/.test(text.trim().toLowerCase())) return { ...inside, degrees: true }
  return { ...inside, unit: readUnit(text) ?? inside.unit }
}

/** `1000 m²` beside a number alone: an area or a volume. */
export function withMetres(quantity: Quantity, other: Quantity): Quantity {
  const { value } = quantity
  const [factor, power, ...rest] = value.kind === 'multiply' ? value.factors : []
  if (!factor || rest.length > 0 || power?.kind !== 'power' || some(other.value, ({ kind }) => kind === 'symbol'))
    return quantity
  const { base, exponent } = power
  const isMetre = base.kind === 'symbol' && base.name === 'm' && factor.kind === 'number'
  return isMetre && exponent.kind === 'number' ? { ...quantity, value: factor } : quantity
}

/** `5000 g` beside a quantity with a unit: there the letter is one, too. */
export function withLetterUnit(quantity: Quantity): Quantity {
  const { value } = quantity
  const last = value.kind === 'multiply' ? value.factors.at(-1) : undefined
  if (value.kind !== 'multiply' || last?.kind !== 'symbol' || !/^[mgshLltNJWVK]$/.test(last.name)) return quantity
  return { ...quantity, value: { kind: 'multiply', factors: value.factors.slice(0, -1) }, unit: readUnit(last.name) }
}

const hundred = rational(100n)
const holdsPi = (node: Node): boolean => some(node, (part) => part.kind === 'constant' && part.name === 'pi')

/**
 * The pairs of values of which one must be equal for two quantities to be: none where their units cannot be compared. A percentage
 * is equal to its number and to its fraction; an angle in degrees to its number and to its radians where those hold π; a value
 * without unit to one with any.
 */
export function comparableValues(a: Quantity, b: Quantity): [Node, Node][] {
  const values = unitValues(a, b)
  if (!values) return []
  const [x, y] = values
  const pairs: [Node, Node][] = [[x, y]]
  if (a.percent !== b.percent) {
    const part = (value: Node): Node => ({ kind: 'divide', numerator: value, denominator: number(hundred) })
    pairs.push(a.percent ? [part(x), y] : [x, part(y)])
  }
  if (a.degrees !== b.degrees) {
    const radians = (value: Node): Node => ({ kind: 'degrees', of: value })
    if (a.degrees ? holdsPi(y) : holdsPi(x)) return [a.degrees ? [radians(x), y] : [x, radians(y)]]
  }
  return pairs
}

function unitValues(a: Quantity, b: Quantity): [Node, Node] | undefined {
  if (!a.unit || !b.unit) return [a.value, b.value]
  if (a.unit.dimension === b.unit.dimension) {
    const factor = divide(a.unit.scale, b.unit.scale)
    return [times(a.value, factor), b.value]
  }
  if (isKnown(a.unit) && isKnown(b.unit)) return undefined
  return sharesWords(a.unit, b.unit) ? [a.value, b.value] : undefined
}

/** Whether the words of one description are all in the other: "apples" and "red apples". */
function sharesWords(a: Unit, b: Unit): boolean {
  const [x, y] = [a, b].map(({ dimension }) => new Set(dimension.split(' '))) as [Set<string>, Set<string>]
  const [fewer, more] = x.size <= y.size ? [x, y] : [y, x]
  return [...fewer].every((word) => more.has(word))
}
