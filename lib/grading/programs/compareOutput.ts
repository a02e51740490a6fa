import { exactDecimal, parseFloatText, splitLines, splitWords, strip } from './pythonText.js'

/** Why two outputs are taken as the same, or where they first differ. */
export type OutputComparison = { equal: true; rule: string } | { equal: false; difference: string }

/**
 * Compares what a program printed with what it should have: white space around the whole and around each line does not matter,
 * lines are the same texts, or rows of numbers that are equal as decimals. No number is rounded.
 */
export function compareOutput(expected: string, printed: string): OutputComparison {
  const wanted = strippedLines(expected)
  const found = strippedLines(printed)
  if (found.length !== wanted.length) {
    return { equal: false, difference: `${count(found)} instead of ${count(wanted)}` }
  }
  let rule = 'text'
  for (const [i, line] of wanted.entries()) {
    const other = found[i] as string
    if (line === other) continue
    if (!sameNumbers(line, other)) {
      return { equal: false, difference: `line ${i + 1} is ${quote(other)} instead of ${quote(line)}` }
    }
    rule = 'decimals'
  }
  return { equal: true, rule }
}

const strippedLines = (text: string): string[] => strip(text).split('\n').map(strip)

/** The empty output counts as one empty line. */
const count = (lines: string[]): string =>
  lines.length === 1 ? (lines[0] === '' ? 'nothing' : '1 line') : `${lines.length} lines`

function sameNumbers(a: string, b: string): boolean {
  const [these, those] = [splitWords(a), splitWords(b)]
  if (these.length !== those.length) return false
  return these.every((word, i) => {
    const number = exactDecimal(word)
    return number !== undefined && number === exactDecimal(those[i] as string)
  })
}

/** A text as a message quotes it, shortened. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 40)}…${text.slice(-12)}` : text)
}

/**
 * As the older checker of LiveCodeBench that the paper's authors ran: empty lines are dropped, and lines that each are one number
 * need only be close, unless all are whole numbers. (Its comparison of sets of words is never reached.)
 */
export function compareOutputAsPaper(expected: string, printed: string): OutputComparison {
  const printedLines = splitLines(printed)
  if (
    strip(printedLines.join('\n')) === strip(expected) ||
    strip(printedLines.map(strip).join('\n')) === strip(expected)
  ) {
    return { equal: true, rule: 'text' }
  }
  const wanted = expected
    .split('\n')
    .filter((line) => line !== '')
    .map(strip)
  const found = printedLines.filter((line) => line !== '')
  if (sameLines(wanted, printedLines) || sameLines(wanted, found)) return { equal: true, rule: 'lines' }
  if (areClose(wanted, found)) return { equal: true, rule: 'close' }
  const differing = wanted.findIndex((line, i) => line !== found[i])
  const place = differing < 0 ? wanted.length : differing
  const [here, there] = [found[place], wanted[place]].map((line) => (line === undefined ? 'missing' : quote(line)))
  return { equal: false, difference: `line ${place + 1} is ${here} instead of ${there}` }
}

const sameLines = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((line, i) => line === b[i])

const wholeNumber = /^\p{Nd}+$/u

/** As numpy.allclose with its default tolerances, and as the checker it looks only at pairs to tell whether all are whole. */
function areClose(wanted: readonly string[], found: readonly string[]): boolean {
  const pairs = Math.min(wanted.length, found.length)
  let allWhole = true
  for (let i = 0; i < pairs && allWhole; i++) {
    allWhole = wholeNumber.test(wanted[i] as string) && wholeNumber.test(found[i] as string)
  }
  if (allWhole || wanted.length !== found.length) return false
  return wanted.every((line, i) => {
    const [right, answer] = [parseFloatText(line), parseFloatText(found[i] as string)]
    if (right === undefined || answer === undefined) return false
    return answer === right || Math.abs(answer - right) <= 1e-8 + 1e-5 * Math.abs(right)
  })
}
