import { approximationsOf, assignmentOf, lastExact, nameOf, recordOf } from './assignments.js'
import { type Budget, UnsupportedError } from './budget.js'
import { evaluateExact } from './exact.js'
import { equalFamilies } from './families.js'
import { simplifyMatrix } from './matrices.js'
import { integer } from './parse.js'
import { comparableValues, quantityOf, withLetterUnit, withMetres } from './quantities.js'
import { divide, equals, isInteger, isZero, multiply, subtract } from './rational.js'
import { rebuild } from './rebuild.js'
import { equalRegions, flipped, regionOf } from './regions.js'
import { equalScalars, isSolvedBy, proportion } from './scalars.js'
import { expandSigns } from './signs.js'
import { type Node, type RelationOperator, some, symbolsOf } from './syntax.js'
import { normaliseWords, numberOfWords, sameWords, saysEmpty } from './words.js'

type Relation = Extract<Node, { kind: 'relation' }>
type Bracket = Extract<Node, { kind: 'bracket' }>

/**
 * The rule by which an answer is equal to the gold answer, or undefined where it is not.
 *
 * @throws UnsupportedError where it cannot be told
 */
export function compareNodes(gold: Node, answer: Node, budget: Budget): string | undefined {
  const [a, b] = [prepare(gold), prepare(answer)]
  return equalFamilies(a, b, budget) ? 'family' : new Comparison(budget).equal(a, b)
}

/** Signs expanded, sums of matrices added, singletons unwrapped. */
function prepare(node: Node): Node {
  const simple = unwrap(simplifyMatrix(expandSigns(namedAlike(node))))
  if (simple.kind === 'text' && /^all real(?: number)?s$/.test(normaliseWords(simple.text)))
    return { kind: 'numbers', name: 'ℝ' }
  if (simple.kind === 'text' && /^infinit[ey]$/.test(normaliseWords(simple.text)))
    return { kind: 'constant', name: 'infinity' }
  return simple.kind === 'unit' && simple.of.kind === 'text'
    ? { kind: 'text', text: `${simple.of.text} ${simple.unit}` }
    : simple
}

/** `kπ, k ∈ ℤ`: a name for any whole number has no meaning of its own. */
function namedAlike(node: Node): Node {
  if (node.kind !== 'list') return node
  const bound = node.items.flatMap((item) => {
    const [name, set] =
      item.kind === 'relation' && item.operators.length === 1 && item.operators[0] === '∈' ? item.operands : []
    return name?.kind === 'symbol' && set?.kind === 'numbers' && set.name !== 'ℝ' ? [name.name] : []
  })
  if (bound.length === 0 || bound.length === node.items.length) return node
  const rename = (part: Node): Node => {
    const at = part.kind === 'symbol' ? bound.indexOf(part.name) : -1
    return at < 0 ? rebuild(part, rename) : { kind: 'symbol', name: `any ${at + 1}` }
  }
  return rename(node)
}

function unwrap(node: Node): Node {
  if ((node.kind === 'list' || node.kind === 'set') && node.items.length === 1) {
    const [item] = node.items as [Node]
    // A set of one set is not that set.
    if (node.kind === 'list' || item.kind !== 'set') return unwrap(item)
  }
  if (node.kind === 'unit' && isStructure(node.of)) return unwrap(node.of)
  return node
}

const structures = new Set(['list', 'bracket', 'set', 'matrix', 'combine', 'relation', 'builder'])
const isStructure = ({ kind }: Node): boolean => structures.has(kind)

class Comparison {
  constructor(private readonly budget: Budget) {}

  equal(gold: Node, answer: Node): string | undefined {
    this.budget.spend()
    const [a, b] = [unwrap(simplifyMatrix(gold)), unwrap(simplifyMatrix(answer))]
    if (a.kind === 'relation' || b.kind === 'relation') {
      const rule = this.relation(a, b)
      if (rule || (a.kind === 'relation' && b.kind === 'relation')) return rule
    }
    for (const approximation of approximationsOf(a)) {
      const rule = b.kind === 'relation' ? undefined : this.equal(approximation, b)
      if (rule) return rule
    }
    if (a.kind === 'list' || b.kind === 'list')
      return this.records(a, b) ?? this.regions(a, b) ?? this.unions(a, b) ?? this.lists(a, b)
    if (a.kind === 'relation' || b.kind === 'relation') return undefined
    return this.structures(a, b)
  }

  private readonly same = (a: Node, b: Node): boolean => this.equal(a, b) !== undefined

  // Structures

  private structures(a: Node, b: Node): string | undefined {
    const either = (...kinds: Node['kind'][]) => kinds.includes(a.kind) || kinds.includes(b.kind)
    if (a.kind === 'bracket' && b.kind === 'bracket') return this.brackets(a, b)
    if (a.kind === 'set' && b.kind === 'set') return this.unordered(a.items, b.items) ? 'set' : undefined
    if (either('matrix')) return this.matrices(a, b)
    if (either('combine', 'builder')) return this.combined(a, b)
    if (either('ratio')) return this.ratios(a, b)
    if (either('based')) return this.based(a, b)
    if (either('numbers')) return this.numberSets(a, b)
    if (isEmptySet(a) && isEmptySet(b)) return 'empty set'
    if (isStructure(a) || isStructure(b)) return undefined
    if (either('text')) return this.texts(a, b)
    return this.calls(a, b) ?? this.quantities(a, b)
  }

  private brackets(a: Bracket, b: Bracket): string | undefined {
    // Brackets matter for intervals; three numbers or more are a point whatever stands around them.
    const alike = a.items.length > 2 || (a.open === b.open && a.close === b.close)
    return alike && this.ordered(a.items, b.items) ? 'tuple' : undefined
  }

  private ordered(a: readonly Node[], b: readonly Node[]): boolean {
    return a.length === b.length && a.every((item, i) => this.same(item, b[i] as Node))
  }

  /** Whether each item of one has an equal in the other, both ways. */
  private unordered(a: readonly Node[], b: readonly Node[]): boolean {
    if (a.length * b.length > 40_000) throw new UnsupportedError('lists too long')
    const table = a.map((x) => b.map((y) => this.same(x, y)))
    return table.every((row) => row.includes(true)) && b.every((_, j) => table.some((row) => row[j]))
  }

  /** Lists without brackets hold the same items in any order; beside a tuple, in its order. */
  private lists(a: Node, b: Node): string | undefined {
    const [x, y] = [plainItems(a), plainItems(b)]
    if (a.kind === 'bracket' || b.kind === 'bracket') {
      const bracket = (a.kind === 'bracket' ? a : b) as Bracket
      const other = a.kind === 'bracket' ? b : a
      const closed = bracket.open === '[' && bracket.close === ']'
      if (closed && bracket.items.length > 2) return this.unordered(x, y) ? 'list' : undefined
      return bracket.open === '(' &&
        bracket.close === ')' &&
        other.kind === 'list' &&
        other.join !== 'or' &&
        this.ordered(x, y)
        ? 'tuple'
        : undefined
    }
    const listed = (node: Node) => node.kind === 'list' || node.kind === 'set' || !isStructure(node)
    if (!listed(a) || !listed(b)) return undefined
    return this.unordered(x.map(tupleOf), y.map(tupleOf)) ? 'list' : undefined
  }

  /** Answers that name their values: by name beside each other, by the order of names beside tuples and lists. */
  private records(a: Node, b: Node): string | undefined {
    const [x, y] = [recordOf(a), recordOf(b)]
    if (x && y) return this.bothRecords(x, y)
    if (x) return this.record(x, b, (value, other) => this.same(value, other))
    return y && this.record(y, a, (value, other) => this.same(other, value))
  }

  private bothRecords(a: ReadonlyMap<string, Node[]>, b: ReadonlyMap<string, Node[]>): string | undefined {
    if (a.size !== b.size || ![...a.keys()].every((name) => b.has(name))) return undefined
    return [...a].every(([name, values]) => this.unordered(values, b.get(name) as Node[])) ? 'assignments' : undefined
  }

  private record(
    record: ReadonlyMap<string, Node[]>,
    other: Node,
    same: (value: Node, other: Node) => boolean,
  ): string | undefined {
    const values = [...record.values()]
    if (other.kind === 'relation') return undefined
    if (values.length === 1) {
      return same({ kind: 'list', items: values[0] as Node[], join: ',' }, other) ? 'assignments' : undefined
    }
    if (values.some(({ length }) => length !== 1) || !isPoint(other)) return undefined
    const items = plainItems(other)
    const sorted = [...record].sort(([p], [q]) => (p < q ? -1 : 1)).map(([, value]) => value)
    const ordered = (order: readonly Node[]) =>
      order.length === items.length && order.every((value, i) => same(value, items[i] as Node))
    return ordered(values.flat()) || ordered(sorted.flat()) ? 'assignments' : undefined
  }

  private matrices(a: Node, b: Node): string | undefined {
    const [x, y] = [rowsOf(a), rowsOf(b)]
    if (!x || !y) return undefined
    return x.length === y.length && x.every((row, i) => this.ordered(row, y[i] as Node[])) ? 'matrix' : undefined
  }

  private combined(a: Node, b: Node): string | undefined {
    const rule = this.regions(a, b)
    if (rule) return rule
    if (a.kind === 'builder' && b.kind === 'builder') {
      const alike = this.same(a.element, b.element) && this.unordered(a.conditions, b.conditions)
      return alike ? 'set' : undefined
    }
    if (a.kind !== 'combine' || b.kind !== 'combine' || a.operator !== b.operator) return this.finiteUnions(a, b)
    const alike = a.operator === '∖' ? this.ordered(a.parts, b.parts) : this.unordered(a.parts, b.parts)
    return alike ? 'union' : undefined
  }

  /** A union beside a list. */
  private unions(a: Node, b: Node): string | undefined {
    return a.kind === 'combine' || b.kind === 'combine' ? this.finiteUnions(a, b) : undefined
  }

  /** A union of finite sets beside their elements. */
  private finiteUnions(a: Node, b: Node): string | undefined {
    const [x, y] = [elementsOf(a), elementsOf(b)]
    return x && y && this.unordered(x, y) ? 'set' : undefined
  }

  private regions(a: Node, b: Node): string | undefined {
    if (a.kind === 'list' && b.kind === 'list' && !some(a, isInequality) && !some(b, isInequality)) return undefined
    const x = regionOf(asPoints(a, b), this.budget)
    const y = x && regionOf(asPoints(b, a), this.budget)
    return x && y && equalRegions(x, y, this.same) ? 'region' : undefined
  }

  private ratios(a: Node, b: Node): string | undefined {
    const [x, y] = [ratioParts(a), ratioParts(b)]
    if (!x || !y || x.length !== y.length) return undefined
    if (this.ordered(x, y)) return 'ratio'
    const values = [...x, ...y].map((part) => evaluateExact(part, this.budget))
    // 1:00 and 12:00 are times.
    if (values.some((value) => !value || isZero(value))) return undefined
    const [p, q] = [values.slice(0, x.length), values.slice(x.length)]
    const proportional = p.every((value, i) => equals(multiply(value!, q[0]!), multiply(q[i]!, p[0]!)))
    return proportional ? 'ratio' : undefined
  }

  private based(a: Node, b: Node): string | undefined {
    if (a.kind !== 'based' || b.kind !== 'based') return undefined
    return a.base === b.base && a.digits.replace(/^0+(?=.)/, '') === b.digits.replace(/^0+(?=.)/, '')
      ? 'base'
      : undefined
  }

  private numberSets(a: Node, b: Node): string | undefined {
    if (a.kind === 'numbers' && b.kind === 'numbers') return a.name === b.name ? 'set' : undefined
    return this.regions(a, b)
  }

  // Texts

  private texts(a: Node, b: Node): string | undefined {
    if (a.kind === 'text' && b.kind === 'text') return sameWords(a.text, b.text) ? 'words' : undefined
    const [text, other] = a.kind === 'text' ? [a.text, b] : [(b as { text: string }).text, a]
    const value = numberOfWords(text)
    if (value !== undefined) return this.quantities(integer(value), other)
    const letters = nameOf(other)
    return letters !== undefined && sameWords(text, letters.replaceAll(' ', '')) ? 'words' : undefined
  }

  // Scalars

  /** Forms whose values are not numbers: residues, pieces. */
  private calls(a: Node, b: Node): string | undefined {
    if (a.kind !== 'call' || b.kind !== 'call' || a.name !== b.name) return undefined
    if (a.name === 'residue') return this.residues(a.arguments, b.arguments)
    if (a.name === 'piecewise') return this.unordered(a.arguments, b.arguments) ? 'pieces' : undefined
    return undefined
  }

  private residues([a, m]: readonly Node[], [b, n]: readonly Node[]): string | undefined {
    if (!this.same(m as Node, n as Node)) return undefined
    const [x, y, modulus] = [a, b, m].map((node) => evaluateExact(node as Node, this.budget))
    if (!x || !y || !modulus || isZero(modulus)) return this.equal(a as Node, b as Node)
    return isInteger(divide(subtract(x, y), modulus)) ? 'residue' : undefined
  }

  private quantities(a: Node, b: Node): string | undefined {
    const [p, q] = [quantityOf(a), quantityOf(b)]
    const pairs = comparableValues(
      q.unit ? withLetterUnit(p) : withMetres(p, q),
      p.unit ? withLetterUnit(q) : withMetres(q, p),
    )
    for (const [x, y] of pairs) {
      const rule = this.scalars(x, y)
      if (rule) return rule
    }
    return undefined
  }

  /** `log` without a base is the natural one, or that of ten: equal by either reading is equal. */
  private scalars(a: Node, b: Node): string | undefined {
    if (isStructure(a) || isStructure(b)) return undefined
    const natural = equalScalars(a, b, this.budget)
    if (natural || (!some(a, isBareLogarithm) && !some(b, isBareLogarithm))) return natural
    return equalScalars(withDecimalLogarithms(a), withDecimalLogarithms(b), this.budget)
  }

  // Relations

  private relation(a: Node, b: Node): string | undefined {
    if (a.kind === 'relation' && b.kind === 'relation') return this.bothRelations(a, b)
    if (a.kind === 'relation') return this.regions(a, b) ?? this.assigned(a, b)
    return this.regions(a, b) ?? this.concluded(a, b as Relation)
  }

  /** A gold answer that says what a name is, beside the value alone. */
  private assigned(gold: Relation, answer: Node): string | undefined {
    const assignment = assignmentOf(gold)
    if (assignment) {
      const rule = this.equal(assignment.value, answer)
      return rule && `assignment, ${rule}`
    }
    if (gold.operators.length === 1 && gold.operators[0] === '∈' && nameOf(gold.operands[0] as Node) !== undefined) {
      return this.equal(gold.operands[1] as Node, answer)
    }
    // A chain of values such as 10/4 = 5/2, and a residue.
    if (gold.operators[0] === '≈' || symbolsOf(gold).size === 0) return this.equal(gold.operands[0] as Node, answer)
    return gold.operators[0] === '≡' ? this.equal(gold.operands[1] as Node, answer) : undefined
  }

  /** An answer that ends in the value: "a + b = 12" beside "12". */
  private concluded(gold: Node, answer: Relation): string | undefined {
    if (!answer.operators.every((operator) => '=≈∈≡→'.includes(operator))) return undefined
    const [first] = answer.operands as [Node]
    const value = answer.operators[0] === '≈' && nameOf(first) === undefined ? first : lastExact(answer)
    if (isZeroEquation(answer)) return undefined
    const rule = this.equal(gold, nameOf(value) !== undefined && nameOf(first) === undefined ? first : value)
    return rule && `conclusion, ${rule}`
  }

  private bothRelations(a: Relation, b: Relation): string | undefined {
    const [x, y] = [assignmentOf(a), assignmentOf(b)]
    if (x && y && sameName(x.name, y.name)) {
      const rule = this.equal(x.value, y.value)
      if (rule) return `assignment, ${rule}`
    }
    const region = some(a, isInequality) || some(b, isInequality) ? this.regions(a, b) : undefined
    return region ?? this.pairwise(a, b) ?? this.proportional(a, b)
  }

  /** The same operators between the same expressions, as written or from right to left. */
  private pairwise(a: Relation, b: Relation): string | undefined {
    if (a.operators.length !== b.operators.length) return undefined
    const alike = (other: Relation) =>
      a.operators.every((operator, i) => operator === other.operators[i]) &&
      a.operands.every((part, i) => this.tried(part, other.operands[i] as Node))
    return alike(b) || alike(reversed(b)) ? 'relation' : undefined
  }

  private tried(a: Node, b: Node): boolean {
    try {
      return this.same(a, b)
    } catch (error) {
      if (error instanceof UnsupportedError) return false
      throw error
    }
  }

  /** `xy = 6` beside `y = 6/x`: an equation that holds where the other says what a name is, and nowhere else. */
  private solvedAlike(a: Relation, b: Relation): string | undefined {
    for (const [solved, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const [name] = solved.operands as [Node]
      const assignment = name.kind === 'symbol' ? assignmentOf(solved) : undefined
      const side = canonicalSide(other)
      if (name.kind !== 'symbol' || !assignment || !side || !symbolsOf(other).has(name.name)) continue
      // A further name may be 0: a·x = a·y says less than x = y.
      const known = symbolsOf(solved)
      if ([...symbolsOf(other)].some((symbol) => !known.has(symbol))) continue
      if (symbolsOf(assignment.value).size > 0 && isSolvedBy(side.difference, name.name, assignment.value, this.budget))
        return 'equation'
    }
    return undefined
  }

  /** Equations, and inequalities of several variables, whose sides differ by a constant factor. */
  private proportional(a: Relation, b: Relation): string | undefined {
    if (a.operators.length !== 1 || b.operators.length !== 1) return undefined
    if (
      [...a.operands, ...b.operands].some(
        (part) => isStructure(part) || part.kind === 'text' || part.kind === 'numbers',
      )
    )
      return undefined
    const [p, q] = [canonicalSide(a), canonicalSide(b)]
    if (!p || !q || p.operator !== q.operator) return undefined
    const factor = proportion(p.difference, q.difference, this.budget)
    if (factor === undefined) return p.operator === '=' ? this.solvedAlike(a, b) : undefined
    return p.operator === '=' || p.operator === '≠' || factor > 0 ? 'equation' : undefined
  }
}

const isNumber = (node: Node): boolean =>
  ['number', 'constant', 'negate', 'divide', 'add', 'multiply', 'power', 'call'].includes(node.kind) &&
  symbolsOf(node).size === 0

/** A number beside a set operation is the set of it alone. */
const asPoints = (node: Node, other: Node): Node =>
  other.kind === 'combine' && isNumber(node) ? { kind: 'set', items: [node] } : node

/** The empty set, as a sign or in words. */
const isEmptySet = (node: Node): boolean =>
  node.kind === 'set' ? node.items.length === 0 : node.kind === 'text' && saysEmpty(node.text)

/** `5x − y = 0` says nothing of a value 0, unlike `x = 0` and `f(2) = 0`. */
const isZeroEquation = ({ operands, operators }: Relation): boolean => {
  const [left, right] = [operands[0] as Node, operands.at(-1) as Node]
  const isZeroRight = right.kind === 'number' && isZero(right.value)
  return isZeroRight && operators.includes('=') && nameOf(left) === undefined && symbolsOf(left).size > 0
}

/** A tuple, or a list that may be read as one. */
const isPoint = (node: Node): boolean =>
  node.kind === 'list' || (node.kind === 'bracket' && node.open === '(' && node.close === ')')

const isInequality = (node: Node): boolean =>
  node.kind === 'relation' && node.operators.some((operator) => '<>≤≥≠∈'.includes(operator))
const isBareLogarithm = (node: Node): boolean =>
  node.kind === 'call' && node.name === 'log' && node.arguments.length === 1

function withDecimalLogarithms(node: Node): Node {
  const replaced = rebuild(node, withDecimalLogarithms)
  return replaced.kind === 'call' && isBareLogarithm(replaced)
    ? { ...replaced, arguments: [...replaced.arguments, integer(10)] }
    : replaced
}

/** y and f(x) name the same thing. */
function sameName(a: string, b: string): boolean {
  if (a === b) return true
  const isFunction = (name: string) => name.startsWith('function ')
  return (a === 'y' && isFunction(b)) || (b === 'y' && isFunction(a))
}

function reversed({ operands, operators }: Relation): Relation {
  return {
    kind: 'relation',
    operands: [...operands].reverse(),
    operators: [...operators].reverse().map((operator) => flipped[operator] ?? (operator === '∈' ? '∉' : operator)),
  }
}

/** A relation of two sides as a difference against 0, the greater side first. */
function canonicalSide({
  operands,
  operators,
}: Relation): { operator: RelationOperator; difference: Node } | undefined {
  const operator = operators[0] as RelationOperator
  const [left, right] = operands as [Node, Node]
  const difference = (x: Node, y: Node): Node => ({ kind: 'add', terms: [x, { kind: 'negate', of: y }] })
  if (operator === '=' || operator === '≠') return { operator, difference: difference(left, right) }
  if (operator === '>' || operator === '≥') return { operator, difference: difference(left, right) }
  const turned = flipped[operator]
  return turned && { operator: turned, difference: difference(right, left) }
}

const plainItems = (node: Node): readonly Node[] =>
  node.kind === 'list' || node.kind === 'set' || node.kind === 'bracket' ? node.items : [node]

/** "x = 3, y = 4" inside a list of solutions, as the tuple (3, 4). */
function tupleOf(node: Node): Node {
  const record = node.kind === 'list' ? recordOf(node) : undefined
  if (!record || record.size < 2) return node
  const sorted = [...record].sort(([a], [b]) => (a < b ? -1 : 1))
  return { kind: 'bracket', open: '(', close: ')', items: sorted.flatMap(([, values]) => values) }
}

/** The rows of a matrix; a tuple is a column. */
function rowsOf(node: Node): Node[][] | undefined {
  if (node.kind === 'matrix') return node.rows
  if (node.kind === 'bracket' && node.items.every(({ kind }) => kind === 'bracket'))
    return node.items.map((row) => (row as Bracket).items)
  if (node.kind === 'bracket' && node.open === '(' && node.close === ')') return node.items.map((item) => [item])
  return undefined
}

function elementsOf(node: Node): readonly Node[] | undefined {
  if (node.kind === 'set' || node.kind === 'list') return node.items
  if (node.kind !== 'combine' || node.operator !== '∪') return undefined
  const parts = node.parts.map((part) => elementsOf(part) ?? (isNumber(part) ? [part] : undefined))
  return parts.includes(undefined) ? undefined : (parts as Node[][]).flat()
}

const ratioParts = (node: Node): readonly Node[] | undefined =>
  node.kind === 'ratio' ? node.parts : node.kind === 'divide' ? [node.numerator, node.denominator] : undefined
