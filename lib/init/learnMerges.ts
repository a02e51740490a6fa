import { firstBytes } from './byteLevel.js'

/** Two ids that become the next new one. */
export type Merge = readonly [left: number, right: number]

/** A piece of text as ids, and how often it occurs. */
interface Word {
  ids: number[]
  count: number
}

/** Pairs that occur once say nothing about other text. */
const leastCount = 2
/** Of ids; two of them make an exact integer. */
const idLimit = 2 ** 26

/**
 * Byte-pair encoding: merges the most frequent pair of neighbours until there are `wanted` merges, or no pair occurs twice.
 * Among equally frequent ones the pair of smaller ids comes first, the left id counting more. The ids before merging are
 * positions in {@link firstBytes}.
 *
 * @param pieces - how often each piece occurs
 */
export function learnMerges(pieces: ReadonlyMap<string, number>, wanted: number): Merge[] {
  const words = toWords(pieces)
  const pairs = new PairCounts()
  for (const [i, word] of words.entries()) pairs.add(word, i, 1)
  const merges: Merge[] = []
  while (merges.length < wanted) {
    const best = pairs.takeMost()
    if (!best) break
    const id = 256 + merges.length
    merges.push(best.pair)
    for (const i of best.words) {
      const word = words[i] as Word
      pairs.add(word, i, -1)
      word.ids = mergePair(word.ids, best.pair, id)
      pairs.add(word, i, 1)
    }
    pairs.settle()
  }
  return merges
}

function toWords(pieces: ReadonlyMap<string, number>): Word[] {
  const idOfByte = new Uint8Array(256)
  for (const [id, byte] of firstBytes.entries()) idOfByte[byte] = id
  return [...pieces].map(([text, count]) => ({
    ids: Array.from(Buffer.from(text), (byte) => idOfByte[byte] as number),
    count,
  }))
}

/** Every occurrence of the pair, from the left, as the new id. */
function mergePair(ids: readonly number[], [left, right]: Merge, id: number): number[] {
  const merged: number[] = []
  for (let i = 0; i < ids.length; i++) {
    const found = ids[i] === left && ids[i + 1] === right
    merged.push(found ? id : (ids[i] as number))
    if (found) i++
  }
  return merged
}

/** How often each pair occurs, and in which words. */
class PairCounts {
  private readonly counts = new Map<number, number>()
  private readonly places = new Map<number, Set<number>>()
  private readonly touched = new Set<number>()
  private readonly heap: { key: number; count: number }[] = []
  private filled = false

  /** `sign` 1 counts the pairs of a word, −1 takes them away again. */
  add({ ids, count }: Word, place: number, sign: 1 | -1): void {
    for (let i = 0; i + 1 < ids.length; i++) {
      const key = (ids[i] as number) * idLimit + (ids[i + 1] as number)
      this.counts.set(key, (this.counts.get(key) ?? 0) + sign * count)
      this.touched.add(key)
      if (sign < 0) continue
      const places = this.places.get(key)
      if (places) places.add(place)
      else this.places.set(key, new Set([place]))
    }
  }

  /** The most frequent pair and the words that have or had it; undefined when none is frequent enough. */
  takeMost(): { pair: Merge; words: number[] } | undefined {
    if (!this.filled) this.settle()
    this.filled = true
    for (let top = this.pop(); top; top = this.pop()) {
      if (top.count !== this.counts.get(top.key)) continue // said of an earlier state
      const words = [...(this.places.get(top.key) ?? [])]
      this.places.delete(top.key)
      return { pair: [Math.floor(top.key / idLimit), top.key % idLimit], words }
    }
    return undefined
  }

  /** Puts the pairs whose count has changed on the heap. */
  settle(): void {
    for (const key of this.touched) {
      const count = this.counts.get(key) as number
      if (count >= leastCount) this.push({ key, count })
      else if (count === 0) this.counts.delete(key)
    }
    this.touched.clear()
  }

  private push(entry: { key: number; count: number }): void {
    const { heap } = this
    let i = heap.push(entry) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(entry, heap[parent] as typeof entry)) break
      heap[i] = heap[parent] as typeof entry
      i = parent
    }
    heap[i] = entry
  }

  private pop(): { key: number; count: number } | undefined {
    const { heap } = this
    const [top] = heap
    const last = heap.pop()
    if (!top || !last || heap.length === 0) return top
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as typeof top, heap[child] as typeof top)) child++
      if (!before(heap[child] as typeof top, last)) break
      heap[i] = heap[child] as typeof top
      i = child
    }
    heap[i] = last
    return top
  }
}

const before = (a: { key: number; count: number }, b: { key: number; count: number }): boolean =>
  a.count > b.count || (a.count === b.count && a.key < b.key)
