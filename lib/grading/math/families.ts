import { assignmentOf } from './assignments.js'
import type { Budget } from './budget.js'
import { real } from './complex.js'
import { evaluateNumeric } from './numeric.js'
import { type Node, symbolsOf } from './syntax.js'

/** All values `start + period·n` for whole n. */
interface Progression {
  start: number
  period: number
}

interface Family {
  name: string | undefined
  progressions: Progression[]
}

/** Letters that stand for any whole number where the other answer says so. */
const wholeNumbers = ['k', 'n', 'm']
const maximumResidues = 200
const tolerance = 1e-9

/**
 * Whether two answers such as `\frac{\pi}{4} + k\pi, k \in \mathbb{Z}` hold the same values: each is a finite set of residues by a
 * common period. One of them must say that its letter is a whole number.
 */
export function equalFamilies(a: Node, b: Node, budget: Budget): boolean {
  const declared = [declaredIn(a), declaredIn(b)] as const
  if (declared[0].size === 0 && declared[1].size === 0) return false
  const [x, y] = [familyOf(a, declared[0], budget), familyOf(b, declared[1], budget)]
  if (!x || !y || (x.name !== undefined && y.name !== undefined && x.name !== y.name)) return false
  const period = commonPeriod([...x.progressions, ...y.progressions])
  if (period === undefined) return false
  const [p, q] = [residues(x, period), residues(y, period)]
  if (!p || !q) return false
  const near = (u: number, v: number) => {
    const distance = Math.abs(u - v) % period
    return Math.min(distance, period - distance) <= tolerance * period
  }
  return p.every((u) => q.some((v) => near(u, v))) && q.every((v) => p.some((u) => near(u, v)))
}

const itemsOf = (node: Node): Node[] => (node.kind === 'list' ? node.items.flatMap(itemsOf) : [node])

/** The name of a letter that is any whole number; undefined where an item says something else. */
function declaration(item: Node): string | undefined {
  if (item.kind !== 'relation' || item.operators.length !== 1 || item.operators[0] !== '∈') return undefined
  const [name, set] = item.operands
  return name?.kind === 'symbol' && set?.kind === 'numbers' && set.name === 'ℤ' ? name.name : undefined
}

const declaredIn = (node: Node): Set<string> => new Set(itemsOf(node).flatMap((item) => declaration(item) ?? []))

function familyOf(node: Node, declared: ReadonlySet<string>, budget: Budget): Family | undefined {
  const names = new Set<string>()
  const progressions: Progression[] = []
  for (const item of itemsOf(node)) {
    if (declaration(item) !== undefined) continue
    const assignment = assignmentOf(item)
    if (item.kind === 'relation' && !assignment) return undefined
    if (assignment) names.add(assignment.name)
    const found = progressionsOf(assignment?.value ?? item, declared, budget)
    if (!found) return undefined
    progressions.push(...found)
  }
  return names.size > 1 || progressions.length === 0 ? undefined : { name: [...names][0], progressions }
}

/** One progression, or two where even and odd numbers have one each, as those of `(-1)^n`. */
function progressionsOf(value: Node, declared: ReadonlySet<string>, budget: Budget): Progression[] | undefined {
  const [letter, ...others] = symbolsOf(value)
  if (letter === undefined || others.length > 0) return undefined
  if (declared.size > 0 ? !declared.has(letter) : !wholeNumbers.includes(letter)) return undefined
  const values: number[] = []
  for (let n = -3; n <= 6; n++) {
    const at = evaluateNumeric(value, budget, new Map([[letter, real(n)]]))
    if (!at || Math.abs(at.im) > tolerance) return undefined
    values.push(at.re)
  }
  for (const step of [1, 2]) {
    const found = Array.from({ length: step }, (_, first) => progression(values.filter((_, i) => i % step === first)))
    if (!found.includes(undefined)) return found as Progression[]
  }
  return undefined
}

function progression(values: readonly number[]): Progression | undefined {
  const [start, second] = values as [number, number]
  const period = second - start
  const scale = Math.max(...values.map(Math.abs))
  if (Math.abs(period) <= tolerance * scale || period === 0) return undefined
  const straight = values.every((value, n) => Math.abs(value - start - n * period) <= tolerance * scale)
  return straight ? { start, period: Math.abs(period) } : undefined
}

/** The least period that all have in common, up to 48 times the first. */
function commonPeriod(progressions: readonly Progression[]): number | undefined {
  const first = (progressions[0] as Progression).period
  for (let times = 1; times <= 48; times++) {
    const whole = progressions.every(({ period }) => {
      const ratio = (first * times) / period
      return ratio > 0.5 && Math.abs(ratio - Math.round(ratio)) <= tolerance * ratio
    })
    if (whole) return first * times
  }
  return undefined
}

function residues({ progressions }: Family, common: number): number[] | undefined {
  const values: number[] = []
  for (const { start, period } of progressions) {
    const count = Math.round(common / period)
    if (values.length + count > maximumResidues) return undefined
    for (let i = 0; i < count; i++) values.push(start + i * period)
  }
  return values
}
