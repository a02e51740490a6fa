const several = 'several outputs are right'
const interactive = 'interactive'
const wrong = 'wrong tests'

/** Problems that LiveCodeBench's own errata name, by id or title. Answers to them are graded as all others. */
export const knownFaults: readonly (readonly [idOrTitle: string, fault: string])[] = [
  ['abc311_c', several],
  ['abc326_d', several],
  ['abc327_b', several],
  ['abc333_e', several],
  ['abc343_a', several],
  ['abc343_e', several],
  ['abc362_c', several],
  ['arc185_c', several],
  ['find-words-containing-character', several],
  ['find-the-peaks', several],
  ['generate-binary-strings-without-adjacent-zeros', several],
  ['abc337_e', interactive],
  ['abc355_e', interactive],
  ['abc350_c', wrong],
  ['apply-operations-to-make-string-empty', wrong],
  ['most-frequent-ids', wrong],
]
