// An analysis as its definitions say, in plain JavaScript: by sorting, and one element after the other.
import { decode, type FloatDtype } from '../support/floats.js'
import type { TestTensor } from '../support/readSafetensors.js'
import type { Tensors } from '../support/writeCheckpoint.js'

export const percents = [1, 5, 10, 20]

/** The numbers of a group of tensors, as the results call them. */
export function reference(
  names: readonly string[],
  { base, experts, merged }: { base: Tensors; experts: Record<string, Tensors>; merged?: Tensors },
) {
  const list = Object.keys(experts)
  const values = (tensors: Tensors, name: string) => valuesOf(tensors.get(name) as TestTensor)
  const change = (tensors: Tensors, name: string) => {
    const from = values(base, name)
    const isDouble = [base, ...Object.values(experts), ...(merged ? [merged] : [])].some(
      (each) => each.get(name)?.dtype === 'F64',
    )
    return Array.from(values(tensors, name), (x, i) => (isDouble ? x - at(from, i) : Math.fround(x - at(from, i))))
  }
  const changes = Object.fromEntries(list.map((expert) => [expert, names.map((n) => change(at(experts, expert), n))]))
  const supports = Object.fromEntries(
    list.map((expert) => [
      expert,
      at(changes, expert).map((delta) => percents.map((percent) => support(delta, percent))),
    ]),
  )
  const all = (expert: string) => at(changes, expert).flat()
  const norm = (x: readonly number[]) => Math.sqrt(dot(x, x))
  const baseNorm = norm(names.flatMap((name) => [...values(base, name)]))
  const n = names.reduce((sum, name) => sum + values(base, name).length, 0)
  return {
    elements: n,
    baseNorm,
    experts: Object.fromEntries(
      list.map((expert) => {
        const delta = all(expert)
        return [
          expert,
          {
            norm: norm(delta),
            relativeNorm: norm(delta) / baseNorm,
            changed: count(delta, (x) => x !== 0) / n,
            meanMagnitude: delta.reduce((sum, x) => sum + Math.abs(x), 0) / n,
            largest: delta.reduce((most, x) => Math.max(most, Math.abs(x)), 0),
            supports: percents.map((percent, level) => {
              const elements = at(supports, expert).reduce((sum, each) => sum + at(each, level).size, 0)
              return { percent, elements, share: elements / n }
            }),
          },
        ]
      }),
    ),
    pairs: list.flatMap((second, j) =>
      list.slice(0, j).map((first) => {
        const [a, b] = [all(first), all(second)]
        const both = a.map((x, i) => x !== 0 && at(b, i) !== 0)
        const opposite = a.map((x, i) => at(both, i) === true && Math.sign(x) !== Math.sign(at(b, i)))
        const weights = a.map((x, i) => Math.abs(x * at(b, i)))
        const weight = weights.reduce((sum, x) => sum + x, 0)
        return {
          experts: [first, second],
          product: dot(a, b),
          cosine: divided(dot(a, b), norm(a) * norm(b)),
          bothChanged: count(both, Boolean) / n,
          opposite: divided(count(opposite, Boolean), count(both, Boolean)),
          oppositeWeight: divided(
            weights.reduce((sum, x, i) => sum + (at(opposite, i) ? x : 0), 0),
            weight,
          ),
          supports: percents.map((percent, level) => {
            let [shared, conflicts, mean, chance] = [0, 0, 0, 0]
            for (const [t, delta] of at(changes, first).entries()) {
              const [mine, theirs] = [at(at(at(supports, first), t), level), at(at(at(supports, second), t), level)]
              const common = [...mine].filter((i) => theirs.has(i))
              shared += common.length
              conflicts += count(
                common,
                (i) => Math.sign(at(delta, i)) !== Math.sign(at(at(at(changes, second), t), i)),
              )
              mean += (mine.size + theirs.size) / 2
              chance += (mine.size * theirs.size) / delta.length
            }
            return {
              percent,
              overlap: divided(shared, mean),
              expected: divided(chance, mean),
              ratio: divided(shared, chance),
              opposite: divided(conflicts, shared),
            }
          }),
        }
      }),
    ),
    merged: merged ? referenceMerged() : null,
  }

  function referenceMerged() {
    const result = names.flatMap((name) => [...values(merged as Tensors, name)])
    const from = names.flatMap((name) => [...values(base, name)])
    const ofExperts = list.map((expert) => names.flatMap((name) => [...values(at(experts, expert), name)]))
    const delta = names.flatMap((name) => change(merged as Tensors, name))
    const changed = result.flatMap((x, i) => (x === at(from, i) ? [] : [i]))
    return {
      norm: norm(delta),
      relativeNorm: norm(delta) / baseNorm,
      changed: changed.length / n,
      fromExperts: divided(
        count(changed, (i) => ofExperts.some((x) => at(x, i) === at(result, i))),
        changed.length,
      ),
      experts: Object.fromEntries(
        list.map((expert, e) => {
          const own = all(expert)
          const values = at(ofExperts, e)
          const moved = own.flatMap((x, i) => (x === 0 ? [] : [i]))
          const share = (is: (i: number) => boolean) => divided(count(moved, is), moved.length)
          return [
            expert,
            {
              projection: divided(dot(delta, own), dot(own, own)),
              cosine: divided(dot(delta, own), norm(delta) * norm(own)),
              taken: share((i) => at(result, i) === at(values, i)),
              undone: share((i) => at(result, i) === at(from, i)),
              neither: share((i) => at(result, i) !== at(values, i) && at(result, i) !== at(from, i)),
            },
          ]
        }),
      ),
    }
  }
}

/** Decoded once: of 16-bit formats that takes a table of all their values. */
const decoded = new WeakMap<TestTensor, ArrayLike<number> & Iterable<number>>()

function valuesOf(tensor: TestTensor) {
  const values = decoded.get(tensor) ?? decode(tensor.dtype as FloatDtype, tensor.data)
  decoded.set(tensor, values)
  return values
}

/** Positions of the changes that are at least as large as the one at the rank: ties are all in, unchanged ones never. */
function support(delta: readonly number[], percent: number): Set<number> {
  const sorted = delta.map(Math.abs).sort((a, b) => b - a)
  const least = sorted[Math.ceil((delta.length * percent) / 100) - 1] as number
  return new Set(delta.flatMap((x, i) => (x !== 0 && Math.abs(x) >= least ? [i] : [])))
}

export const dot = (x: readonly number[], y: readonly number[]): number =>
  x.reduce((sum, each, i) => sum + each * at(y, i), 0)

const count = <T>(items: readonly T[], is: (item: T) => boolean): number => items.filter(is).length

const divided = (part: number, whole: number): number | null => (whole > 0 ? part / whole : null)

function at<T>(from: ArrayLike<T> | Record<string, T>, key: number | string): T {
  return (from as Record<number | string, T>)[key] as T
}
