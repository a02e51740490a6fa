import { SeededBits } from '../../../lib/seededBits.js'

/** Draws of integers below a bound, always the same. */
export function draws(name: string): (bound: number) => number {
  const bits = new SeededBits(1, name)
  const word = new Uint32Array(1)
  return (bound) => {
    bits.fill(word)
    return Math.floor(((word[0] as number) / 2 ** 32) * bound)
  }
}

const subjects =
  'train tank number triangle circle polynomial sequence box worker garden matrix particle wire clock'.split(' ')
const verbs = 'moves fills divides contains covers intersects exceeds satisfies meets doubles'.split(' ')
const rest =
  'of the with at an average speed such that each side and every second point is equal to twice as long'.split(' ')

/** Texts as questions are, in families of which the members differ by a few words, numbers or signs. */
export function familiesOfTexts(count: number): string[] {
  const draw = draws('families of texts')
  const pick = (list: readonly string[]): string => list[draw(list.length)] as string
  const texts: string[] = []
  while (texts.length < count) {
    const length = 12 + draw(100)
    const words = Array.from({ length }, () => {
      const kind = draw(10)
      return kind < 3 ? pick(subjects) : kind < 5 ? pick(verbs) : kind < 9 ? pick(rest) : String(draw(500))
    })
    const members = Math.min(1 + draw(8), count - texts.length)
    for (let member = 0; member < members; member++) {
      const edits = draw(draw(9) + 1)
      const edited = [...words]
      for (let edit = 0; edit < edits; edit++) {
        const at = draw(edited.length)
        const how = draw(4)
        if (how === 0) edited[at] = String(draw(500))
        else if (how === 1) edited[at] = pick(subjects)
        else if (how === 2) edited.splice(at, 1)
        else edited[at] = `${(edited[at] as string).toUpperCase()},`
      }
      texts.push(`${edited.join(' ')}.`)
    }
  }
  return texts
}

/** Jaccard by its definition: sets of runs of words, which one regular expression finds. Each run has a number of its own. */
export class PlainJaccard {
  private readonly numbers = new Map<string, number>()

  constructor(private readonly shingle: number) {}

  setOf(text: string): Set<number> {
    const words = text.toLowerCase().match(/[a-z0-9]+/g) ?? []
    const width = Math.min(this.shingle, words.length)
    const runs = words.slice(0, words.length - width + 1).map((_, i) => words.slice(i, i + width).join(' '))
    return new Set(runs.map((run) => this.numberOf(run)))
  }

  private numberOf(run: string): number {
    const known = this.numbers.get(run)
    if (known !== undefined) return known
    this.numbers.set(run, this.numbers.size)
    return this.numbers.size - 1
  }
}

export function jaccard(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
  let both = 0
  for (const each of a) if (b.has(each)) both++
  return both / (a.size + b.size - both)
}
