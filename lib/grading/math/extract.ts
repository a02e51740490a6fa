import { extractionWindow } from './budget.js'

/**
 * Where an answer is looked for. `strict`: the last `\boxed` or `\fbox`, else what follows "final answer is"; nothing else.
 * `lenient`: also what follows "answer is" or "answer:", a formula at the very end, and a text that is nothing but an answer.
 */
export type ExtractionProfile = 'strict' | 'lenient'

export interface Extraction {
  /** What was taken as the answer; null where there is none. */
  text: string | null
  rule: 'boxed' | 'boxed list' | 'final answer' | 'answer' | 'last formula' | 'whole text' | 'none'
}

/** An answer as bold, with dollars and full stop, without what adds nothing. */
export function bare(text: string): string {
  let inside = text.trim()
  for (let i = 0; i < 4; i++) {
    const before = inside
    inside = withoutEnd(withoutEnd(inside, ',;:'), '\\').trim()
    if (inside.endsWith('.') && !inside.endsWith('..') && !inside.endsWith('\\right.'))
      inside = inside.slice(0, -1).trim()
    for (const [open, close] of wrappers) {
      const longer = inside.length >= open.length + close.length
      if (longer && inside.startsWith(open) && inside.endsWith(close) && isOne(inside, open, close)) {
        inside = inside.slice(open.length, -close.length).trim()
      }
    }
    if (inside === before) break
  }
  return inside
}

/** A text without the given characters at its end: a loop, because an expression would try from every one of a long run. */
function withoutEnd(text: string, characters: string): string {
  let end = text.length
  while (end > 0 && characters.includes(text[end - 1] as string) && text[end - 2] !== '\\') end--
  return text.slice(0, end)
}

const wrappers = [
  ['**', '**'],
  ['$$', '$$'],
  ['$', '$'],
  ['\\(', '\\)'],
  ['\\[', '\\]'],
  ['`', '`'],
  ['*', '*'],
  ['_', '_'],
  ['"', '"'],
] as const

/** Whether what stands between the marks holds neither of them: `$a$ and $b$` is two formulas. */
function isOne(text: string, open: string, close: string): boolean {
  const inside = text.slice(open.length, -close.length)
  return !inside.includes(open) && !inside.includes(close)
}

/** What a completion gives as its answer, and by which rule. Only its last 64 thousand characters are read. */
export function extractMath(answer: string, profile: ExtractionProfile = 'strict'): Extraction {
  const text = answer.length > extractionWindow ? answer.slice(-extractionWindow) : answer
  const box = boxed(text)
  if (box) return box
  const final = afterPhrase(text, /(?<![a-z])final answer\s*(?:is|:|=)(?:\s*:)?/gi)
  if (final !== undefined) return { text: final, rule: 'final answer' }
  if (profile === 'strict') return { text: null, rule: 'none' }
  const phrase = afterPhrase(text, /(?<![a-z])answer\s*(?:is|:|=)(?:\s*:)?/gi)
  if (phrase !== undefined) return { text: phrase, rule: 'answer' }
  return lenient(text)
}

/** What some models write after their answer: the marks of another turn, and a hope. */
const afterthought = /(?:<\|\w{1,20}\|>|I hope (?:it|this) is correct\.?)[\s\S]{0,200}$/

function lenient(completion: string): Extraction {
  const text = completion.slice(0, -400) + completion.slice(-400).replace(afterthought, '')
  const whole = bare(text)
  if (whole === '') return { text: null, rule: 'none' }
  const formula = isProse(whole) ? (closingFormula(text.trimEnd()) ?? stated(text)) : undefined
  return formula === undefined ? { text: whole, rule: 'whole text' } : { text: formula, rule: 'last formula' }
}

/** A word outside the formulas, but for those that join answers. */
function isProse(text: string): boolean {
  const outside = text.slice(0, 2000).replace(/\$[^$]*\$|\\\([^)]*\\\)|\\[A-Za-z]+/g, ' ')
  return (outside.match(/[A-Za-z]{2,}/g) ?? []).some((word) => !/^(?:and|or)$/i.test(word))
}

/** What follows `####`, as GSM8K has it, or the last verb of a closing sentence such as "The value of x is 42". */
function stated(text: string): string | undefined {
  const last = text.trimEnd().slice(-1000)
  const tagged = /<answer>([^<]*)<\/answer>\s*$/.exec(last)
  if (tagged) return bare(tagged[1] as string) || undefined
  const marked = /(?:^|\n)\s{0,8}####\s{0,8}(\S[^\n]*)$/.exec(last)
  if (marked) return bare(marked[1] as string)
  return saidIn(last.split(/\n|(?<=[.!?])\s/).at(-1) as string)
}

/** What a sentence says that something is. */
function saidIn(whole: string): string | undefined {
  const called = calledAnswer(whole)
  if (called !== undefined) return called
  const concluded = [...whole.matchAll(/\b(?:therefore|thus|hence|so),\s/gi)].at(-1)
  const sentence = concluded ? whole.slice(concluded.index) : whole
  const counted = /\bthere (?:are|is)\s+(?:exactly\s+)?(\d[\d,]*)\s+[a-z][^\d]*$/i.exec(sentence)
  if (counted) return counted[1]
  const begins = /^\W{0,4}(?:the|so|thus|hence|therefore|then|there|it|our|in total|we)\b/i.test(sentence)
  if (!begins || /\bwhere\b/i.test(sentence)) return undefined
  const verb = [...sentence.matchAll(/\b(?:is|are|equals)\s+(?:exactly\s+|equal to\s+)?/gi)].at(-1)
  const rest = verb && bare(sentence.slice(verb.index + verb[0].length))
  return rest && /\d|\$|\\|^[A-Za-z]+$/.test(rest) ? sentenceOf(rest) : undefined
}

/** `$x > 5$ is the solution` and `42 is our answer`: the formula or the number before the words. */
function calledAnswer(sentence: string): string | undefined {
  const words = /\s(?:is|are)\s(?:the|our)\s(?:[a-z]{2,12}\s)?(?:answers?|solutions?)\b/i.exec(sentence)
  if (!words) return undefined
  const before = sentence.slice(0, words.index)
  return closingFormula(before) ?? /(?:^|\s)(-?\d\S*)$/.exec(before)?.[1]
}

/** A formula with which a text ends, but for a full stop. */
function closingFormula(text: string): string | undefined {
  const end = withoutEnd(text, '.!* \n\t')
  for (const [open, close] of [
    ['$', '$'],
    ['\\(', '\\)'],
    ['\\[', '\\]'],
    ['**', '**'],
  ] as const) {
    const closed = close === '**' ? withoutEnd(text, '.! \n\t') : end
    if (!closed.endsWith(close)) continue
    const before = closed.slice(0, -close.length).replace(/\$$/, '')
    const start = before.lastIndexOf(open)
    if (start > 0) return bare(before.slice(start + open.length))
  }
  return undefined
}

interface Box {
  start: number
  end: number
  content: string
}

const boxCommand = /\\(?:boxed|fbox|framebox)(?![A-Za-z])\s*/g
/** Between boxes that make one list together. */
const joint = /^(?:[\s,;.$&]|\\[,;:!)(\]["\s]|\\q?quad|\\text\s*\{\s*(?:and|or)?,?\s*(?:and|or)?\s*\}|and\b|or\b)*$/
/** Percent signs after a box. */
const percent = /^\s*(?:\$\s*)?(?:\\?%|\\text\s*\{\s*(?:%|percent)\s*\}|(?:percent(?:age)?|pct)\b)/

/** The name that a text ends by giving a value: `x` of `$x =`. */
const namedBefore = (text: string): string | undefined =>
  /(?:^|[^A-Za-z\\])([A-Za-z](?:_\{?\w\}?)?)\s*=\s*\$?\s*$/.exec(text.slice(-20))?.[1]

/** Finds the boxes and their contents, all braces matched in one pass. */
function boxesIn(text: string): Box[] {
  const closings = matchBraces(text)
  const boxes: Box[] = []
  for (const found of text.matchAll(boxCommand)) {
    const open = found.index + found[0].length
    const close = closings.get(open)
    if (text[open] === '{') {
      // A box that is not closed was cut off.
      if (close !== undefined) boxes.push({ start: found.index, end: close + 1, content: text.slice(open + 1, close) })
    } else {
      const token = /^(?:[\w.-]+)/.exec(text.slice(open, open + 40))
      if (token) boxes.push({ start: found.index, end: open + token[0].length, content: token[0] })
    }
  }
  // Only the outermost count.
  return boxes.filter((box, i) => !boxes.slice(Math.max(0, i - 8), i).some((outer) => outer.end >= box.end))
}

function matchBraces(text: string): Map<number, number> {
  const closings = new Map<number, number>()
  const open: number[] = []
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (character === '\\' && text[i + 1] !== '\\') i++
    else if (character === '{') open.push(i)
    else if (character === '}') {
      const start = open.pop()
      if (start !== undefined) closings.set(start, i)
    }
  }
  return closings
}

function boxed(text: string): Extraction | undefined {
  const boxes = boxesIn(text)
  const last = boxes.at(-1)
  if (!last) return undefined
  const joined = [last]
  for (let i = boxes.length - 2; i >= 0; i--) {
    const box = boxes[i] as Box
    const between = betweenBoxes(text, box, joined[0] as Box)
    if (between.length > 60 || !joint.test(between) || joined.length >= 20 || !separatesBoxes(between)) break
    joined.unshift(box)
  }
  const names = joined.map(({ start }) => namedBefore(text.slice(Math.max(0, start - 20), start)))
  const isRecord = new Set(names).size === names.length && !names.includes(undefined)
  if (isRecord && names.length > 1)
    return { text: joined.map(({ content }, i) => `${names[i]} = ${content.trim()}`).join(', '), rule: 'boxed list' }
  const after = percent.test(text.slice(last.end, last.end + 40)) ? '\\%' : ''
  const contents = joined.map(({ content }) => content.trim())
  if (contents.length === 1) return { text: (contents[0] as string) + after, rule: 'boxed' }
  if (new Set(contents).size === 1) return { text: contents[0] as string, rule: 'boxed' }
  return { text: contents.join(', ') + after, rule: 'boxed list' }
}

/** What stands between two boxes, but for names that are given values: "$x = □$ or $x = □$", "$x = □$ and $y = □$". */
function betweenBoxes(text: string, first: Box, second: Box): string {
  const between = text.slice(first.end, second.start)
  const isNamed =
    between.length <= 60 && namedBefore(between) !== undefined && namedBefore(text.slice(0, first.start)) !== undefined
  return isNamed ? between.replace(/[A-Za-z](?:_\{?\w\}?)?\s*=\s*\$?\s*$/, '') : between
}

/** A comma, a word or nothing makes a list of boxes; lines alone repeat the answer. */
const separatesBoxes = (between: string): boolean => between === '' || /[,;&]|and|or|quad/.test(between)

/** What follows the last occurrence of a phrase, to the end of its sentence; undefined where nothing does. */
function afterPhrase(text: string, phrase: RegExp): string | undefined {
  let end = -1
  for (const found of text.matchAll(phrase)) end = found.index + found[0].length
  if (end < 0) return undefined
  const rest = text.slice(end, end + 4096).replace(/^[\s:*]+/, '')
  const answer = bare(withoutEnd(sentenceOf(rest), '*'))
  if (answer === '') return undefined
  return isProse(answer) ? (saidIn(answer) ?? answer) : answer
}

function sentenceOf(rest: string): string {
  for (const [open, close] of [
    ['$$', '$$'],
    ['$', '$'],
    ['\\(', '\\)'],
    ['\\[', '\\]'],
  ] as const) {
    if (!rest.startsWith(open)) continue
    const end = rest.indexOf(close, open.length)
    if (end > 0) {
      const unit = /^\s*(?:\\?%|(?:percent(?:age)?|pct)\b)/.exec(rest.slice(end + close.length))
      return rest.slice(open.length, end) + (unit ? '\\%' : '')
    }
  }
  const end = /\.(?=\s|$)|\n|\*\*|(?<=[\w)}\]$])\s*(?:I hope|because|since)\b/.exec(rest)
  return end ? rest.slice(0, end.index) : rest
}
