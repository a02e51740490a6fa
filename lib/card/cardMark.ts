import { createHash } from 'node:crypto'

/** A model's card: what the Hub shows of it. */
export const cardName = 'README.md'

const pattern = /\n<!-- branchmerge wrote this card, and replaces it while it is as it was: ([0-9a-f]{16}) -->\n$/

const sumOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)

/** A card with a last line that tells whether anybody has changed it since. */
export const markedCard = (text: string): string =>
  `${text}\n<!-- branchmerge wrote this card, and replaces it while it is as it was: ${sumOf(text)} -->\n`

/** Whether branchmerge wrote this card, and nobody has changed it since. */
export function isWrittenCard(text: string): boolean {
  const [mark, sum] = pattern.exec(text) ?? []
  return mark !== undefined && sum === sumOf(text.slice(0, -mark.length))
}
