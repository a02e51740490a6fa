import { formatCountOf } from '../../text/format.js'
import { cellOf } from '../cell.js'
import type { Draw, Rejection, StepKind } from '../step.js'
import { priorityOf } from './priority.js'

/** How many rows stay, drawn by seed. A number alone is `rows`. */
export interface SizeOptions {
  /** At most so many in all. */
  rows?: number
  /** The column whose values are the groups that have quotas. */
  by?: string
  /** Of groups by their value: the part of `rows` that is theirs, above 0 and up to 1. */
  shares?: Record<string, number>
  /** Of groups by their value: at most so many rows. */
  counts?: Record<string, number>
  /** At most so many rows of each group that has no other quota. */
  each?: number
}

const optionsOf = (options: number | SizeOptions): SizeOptions =>
  typeof options === 'number' ? { rows: options } : options

/**
 * Draws rows. Groups with a share or a count get that many; the others share what remains of `rows`. A row's chance does not
 * depend on where it stands.
 */
export const size: StepKind<number | SizeOptions> = {
  columns: (options) => (optionsOf(options).by === undefined ? [] : [optionsOf(options).by as string]),
  check(options, problems, path) {
    const { rows, by, shares, counts, each } = optionsOf(options)
    const hasQuotas = shares !== undefined || counts !== undefined || each !== undefined
    if (hasQuotas !== (by !== undefined)) {
      problems.add(path, 'Expected by, the column of the groups, beside shares, counts or each, and only there')
    }
    if (rows === undefined && each === undefined && counts === undefined) {
      problems.add(path, 'Expected rows, or counts or each')
    }
    if (rows === undefined && shares) problems.add(path, 'Expected rows beside shares, which are parts of them')
    const twice = Object.keys(shares ?? {}).filter((group) => Object.hasOwn(counts ?? {}, group))
    if (twice.length > 0)
      problems.add([...path, 'counts'], `Expected ${twice.join(', ')} in shares or in counts, not in both`)
    const named = namedQuotas(optionsOf(options))
    const sum = [...named.values()].reduce((total, quota) => total + quota, 0)
    if (rows !== undefined && sum > rows) {
      problems.add(path, `Expected shares and counts of at most ${rows} rows in all, as rows says, not ${sum}`)
    }
  },
  describe(options) {
    const { rows, by, each } = optionsOf(options)
    const groups = by === undefined ? '' : `, by ${by}`
    return rows === undefined
      ? `${each === undefined ? 'counts' : `${each} of each`}${groups}`
      : `${rows} rows${groups}`
  },
  open: (options, { seed, place }) => new SizeDraw(optionsOf(options), seed, place),
}

/** Rows of each named group. Shares are rounded down, and the largest fractions get what is left, as long as shares make a whole. */
function namedQuotas({ rows = 0, shares = {}, counts = {} }: SizeOptions): Map<string, number> {
  const exact = Object.entries(shares).map(([group, share]) => ({ group, rows: share * rows }))
  const quotas = new Map(exact.map((each) => [each.group, Math.floor(each.rows + 1e-9)]))
  const wanted = Math.round(exact.reduce((sum, each) => sum + each.rows, 0))
  const byFraction = exact.sort((a, b) => (b.rows % 1) - (a.rows % 1) || (a.group < b.group ? -1 : 1))
  let left = wanted - [...quotas.values()].reduce((sum, quota) => sum + quota, 0)
  for (const { group } of byFraction) if (left-- > 0) quotas.set(group, (quotas.get(group) ?? 0) + 1)
  for (const [group, count] of Object.entries(counts)) quotas.set(group, count)
  return quotas
}

class SizeDraw implements Draw {
  private readonly priorities: number[] = []
  private readonly groupOf: number[] = []
  private readonly groups = new Map<string, number>()
  private readonly shortfalls: string[] = []

  constructor(
    private readonly options: SizeOptions,
    private readonly seed: number,
    private readonly place: number,
  ) {}

  add({ source, row, columns }: Parameters<Draw['add']>[0]): void {
    this.priorities.push(priorityOf(this.seed, this.place, source, row))
    const { by } = this.options
    if (by === undefined) return
    const value = cellOf(columns, by)
    const group = typeof value === 'object' ? JSON.stringify(value) : value === undefined ? 'null' : String(value)
    const known = this.groups.get(group) ?? this.groups.size
    this.groups.set(group, known)
    this.groupOf.push(known)
  }

  decide(): (Rejection | undefined)[] {
    const order = this.priorities.map((_, i) => i).sort((a, b) => this.compare(a, b))
    const drawn = new Set(this.options.by === undefined ? order.slice(0, this.options.rows) : this.byGroup(order))
    const names = [...this.groups.keys()]
    const detailOf = (i: number) =>
      this.options.by === undefined
        ? `${drawn.size} of ${order.length} rows were drawn`
        : `${this.options.by} is ${names[this.groupOf[i] as number]}`
    return this.priorities.map((_, i) => (drawn.has(i) ? undefined : { reason: 'not-drawn', detail: detailOf(i) }))
  }

  notes(): string[] {
    return this.shortfalls
  }

  private compare(a: number, b: number): number {
    return (this.priorities[a] as number) - (this.priorities[b] as number) || a - b
  }

  private byGroup(order: readonly number[]): number[] {
    const quotas = namedQuotas(this.options)
    const names = [...this.groups.keys()]
    const { rows = Number.POSITIVE_INFINITY, each = Number.POSITIVE_INFINITY } = this.options
    let rest = rows - [...quotas.values()].reduce((sum, quota) => sum + quota, 0)
    const taken = new Map<string, number>()
    const drawn = order.filter((i) => {
      const name = names[this.groupOf[i] as number] as string
      const quota = quotas.get(name)
      const count = taken.get(name) ?? 0
      if (count >= (quota ?? each) || (quota === undefined && rest <= 0)) return false
      if (quota === undefined) rest--
      taken.set(name, count + 1)
      return true
    })
    for (const [name, quota] of quotas) {
      const count = taken.get(name) ?? 0
      if (count < quota) this.shortfalls.push(`${this.options.by} ${name}: ${count} of ${formatCountOf(quota, 'row')}`)
    }
    return drawn
  }
}
