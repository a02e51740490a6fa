import { createHash } from 'node:crypto'
import type { Conversation } from './conversation.js'
import type { ResolvedData } from './options.js'

/** Decides by a row's content alone, so that the same row is on the same side whatever else the data holds. */
export interface Split {
  isValidation(conversation: Conversation): boolean
}

/** @param countThreshold - the number of the last validation row, where a count was asked for */
export function splitOf({ validation, seed }: ResolvedData, countThreshold?: number): Split {
  if (!validation) return { isValidation: () => false }
  if ('fraction' in validation) {
    return { isValidation: (conversation) => rowNumber(conversation, seed) < validation.fraction }
  }
  return { isValidation: (conversation) => rowNumber(conversation, seed) <= (countThreshold ?? -1) }
}

/** A number in [0, 1) that depends on a conversation's texts and the seed. */
export function rowNumber({ messages, tools }: Conversation, seed: number): number {
  const hash = createHash('sha256').update(JSON.stringify([seed, messages, tools ?? null]))
  return hash.digest().readUIntBE(0, 6) / 2 ** 48
}

/** The smallest numbers of many, in bounded memory. */
export class Smallest {
  private kept: number[] = []

  constructor(private readonly count: number) {}

  add(value: number): void {
    this.kept.push(value)
    if (this.kept.length >= 2 * this.count + 1024) this.shrink()
  }

  /** The largest of the smallest; −1 when there is none. */
  threshold(): number {
    this.shrink()
    return this.kept.at(-1) ?? -1
  }

  private shrink(): void {
    this.kept.sort((a, b) => a - b)
    this.kept.length = Math.min(this.kept.length, this.count)
  }
}

/** How often a row is used under a weight: as often as its whole part says, and once more for that part of the rows. */
export function copiesOf(weight: number, source: string, row: number, seed: number): number {
  const whole = Math.floor(weight)
  if (weight === whole) return whole
  const hash = createHash('sha256').update(`${seed} ${row} ${source}`)
  return whole + (hash.digest().readUIntBE(0, 6) / 2 ** 48 < weight - whole ? 1 : 0)
}
