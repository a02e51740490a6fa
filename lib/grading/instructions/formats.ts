import { strip } from '../programs/pythonText.js'
import type { ReadInstruction } from './instruction.js'
import { patternCounter } from './patterns.js'

/** `[address]` in one line, at least so many. */
export const placeholders: ReadInstruction = (values) => {
  const least = values.count('num_placeholders')
  return (response) => response.split('\n').reduce((sum, line) => sum + bracketsIn(line), 0) >= least
}

function bracketsIn(line: string): number {
  let count = 0
  for (let begin = line.indexOf('['); begin >= 0; count++) {
    const end = line.indexOf(']', begin)
    if (end < 0) return count
    begin = line.indexOf('[', end)
    if (begin < 0) return count + 1
  }
  return count
}

export const postscript: ReadInstruction = (values) => {
  const marker = values.text('postscript_marker').trim()
  const known: Record<string, RegExp> = { 'P.P.S': /p\.\s?p\.\s?s/, 'P.S.': /p\.\s?s\./ }
  const pattern = known[marker]
  const count = patternCounter(marker.toLowerCase())
  return (response) => (pattern ? pattern.test(response.toLowerCase()) : count(response.toLowerCase()) > 0)
}

/** Lines that begin with `*`, but not `**`, or with `-`: exactly so many. */
export const bulletLists: ReadInstruction = (values) => {
  const asked = values.count('num_bullets')
  return (response) => bulletsIn(response, '*') + bulletsIn(response, '-') === asked
}

function bulletsIn(text: string, mark: '*' | '-'): number {
  const notSpace = /\S/g
  let count = 0
  for (let line = 0; line <= text.length; ) {
    notSpace.lastIndex = line
    const at = notSpace.exec(text)?.index
    if (at === undefined) return count
    // What follows the star may be the line's end: then the next line belongs to the bullet.
    const isBullet = text[at] === mark && (mark === '-' || (at + 1 < text.length && text[at + 1] !== '*'))
    if (isBullet) count++
    const end = text.indexOf('\n', isBullet && mark === '*' ? at + 2 : at + 1)
    if (end < 0) return count
    line = end + 1
  }
  return count
}

const options = ['My answer is yes.', 'My answer is no.', 'My answer is maybe.']

export const constrainedResponse: ReadInstruction = () => (response) =>
  options.some((option) => response.includes(option))

/** `*text*` and `**text**` in one line, which count twice where they are both. */
export const highlightedSections: ReadInstruction = (values) => {
  const least = values.count('num_highlights')
  return (response) => {
    const single = (response.match(/\*[^\n*]*\*/g) ?? []).filter((found) => strip(found.replaceAll('*', '')) !== '')
    const double = (response.match(/\*\*[^\n*]*\*\*/g) ?? []).filter((found) => strip(found.slice(2, -2)) !== '')
    return single.length + double.length >= least
  }
}

export const multipleSections: ReadInstruction = (values) => {
  const least = values.count('num_sections')
  const count = patternCounter(values.text('section_spliter').trim(), { after: '\\s?\\p{Nd}+', cased: true })
  return (response) => count(response) >= least
}

export const jsonFormat: ReadInstruction = () => (response) => {
  let text = strip(response)
  for (const fence of ['```json', '```Json', '```JSON', '```']) {
    if (text.startsWith(fence)) text = text.slice(fence.length)
  }
  if (text.endsWith('```')) text = text.slice(0, -3)
  return isPythonJson(strip(text))
}

/** Python's reader also takes NaN and Infinity. */
function isPythonJson(text: string): boolean {
  const isJson = (candidate: string): boolean => {
    try {
      JSON.parse(candidate)
      return true
    } catch {
      return false
    }
  }
  if (isJson(text)) return true
  const numbers = /"(?:[^"\\]|\\.)*"|\bNaN\b|-?\bInfinity\b/gs
  return isJson(text.replace(numbers, (part) => (part.startsWith('"') ? part : '0')))
}

/** `<<title>>` in one line, with something in it. */
export const title: ReadInstruction = () => (response) => response.split('\n').some(hasTitle)

function hasTitle(line: string): boolean {
  const [begin, end] = [line.indexOf('<<'), line.lastIndexOf('>>')]
  if (begin < 0 || end < begin + 3) return false
  const inside = line.slice(begin, end + 2)
  let [from, to] = [0, inside.length]
  while (from < to && inside[from] === '<') from++
  while (to > from && inside[to - 1] === '>') to--
  return strip(inside.slice(from, to)) !== ''
}
