import type { ReadInstruction } from './instruction.js'
import { patternCounter, wordBoundary } from './patterns.js'

export const existence: ReadInstruction = (values) => {
  const counters = values.texts('keywords').map((word) => patternCounter(word))
  return (response) => counters.every((count) => count(response) > 0)
}

export const frequency: ReadInstruction = (values) => {
  const [count, fits] = [patternCounter(values.text('keyword').trim()), values.relation('relation', 'frequency')]
  return (response) => fits(count(response))
}

export const forbiddenWords: ReadInstruction = (values) => {
  const counters = values
    .texts('forbidden_words')
    .map((word) => patternCounter(word, { before: wordBoundary, after: wordBoundary }))
  return (response) => counters.every((count) => count(response) === 0)
}

/** The reference draws a letter by chance where it is none of a to z; here the character itself is counted. */
export const letterFrequency: ReadInstruction = (values) => {
  const letter = values.text('letter').trim().toLowerCase()
  const fits = values.relation('let_relation', 'let_frequency')
  return (response) => fits(response.toLowerCase().split(letter).length - 1)
}
