import type { Completion } from './completion.js'
import { compareMath } from './math/verify.js'
import type { Verdict } from './verdict.js'

/** A longer text is prose, which equals no number; the authors' code would only take long to say so. */
const maxLength = 2000

/**
 * Grades a number as the code of the TinyR1 authors does (that of Qwen2.5-Math): what stands in the last `\boxed{}`, else behind a
 * phrase, else the last number of the whole text; equal within a relative 1e-4 to the right one, to a hundredth of it, or to a
 * hundred times it; formulas by their value.
 */
export function gradePaperInteger({ full }: Completion, gold: string): Verdict {
  const { text, rule } = extractAsPaper(full)
  const answer = text.length > maxLength ? text : stripAsPaper(stripAsPaper(text))
  if (answer === '') return { status: 'no-answer', extracted: null, rule }
  const value = numberOf(answer)
  const right = stripAsPaper(gold)
  const isRight = isEqualAsPaper(answer, right)
  const extracted = value !== undefined ? String(value) : isRight ? right : answer.slice(0, 200)
  return { status: isRight ? 'correct' : 'wrong', extracted, rule }
}

interface Extracted {
  text: string
  rule: string
}

export function extractAsPaper(full: string): Extracted {
  const { text, rule } = rawAnswer(full.replaceAll('ки', ''))
  const line = text.replace(/\n\s*/g, '').replace(/^:/, '').replace(/\.$/, '').replace(/\/$/, '')
  return { text: line, rule }
}

function rawAnswer(text: string): Extracted {
  const after = (phrase: string): string => text.slice(text.lastIndexOf(phrase) + phrase.length)
  const minerva = 'final answer is $'
  if (text.includes(minerva) && text.includes('$. I hope')) {
    const rest = text.slice(text.indexOf(minerva) + minerva.length)
    return { text: (rest.split('$. I hope', 1)[0] ?? '').trim(), rule: '"final answer is $", "$. I hope"' }
  }
  if (text.includes('boxed')) return { text: insideBox(after('boxed')), rule: 'last "boxed"' }
  for (const phrase of ['he answer is', 'final answer is']) {
    if (text.includes(phrase)) return { text: after(phrase).trim(), rule: `"${phrase}"` }
  }
  const chinese = '答案是'
  if (text.includes(chinese)) {
    const rest = (text.split(chinese, 2)[1] ?? '').trim()
    return { text: (rest.split('\n\n', 1)[0] ?? '').trim(), rule: `"${chinese}"` }
  }
  const last =
    text
      .replaceAll(',', '')
      .match(/-?\d*\.?\d+/g)
      ?.at(-1) ?? ''
  return { text: last, rule: 'last number of the text' }
}

/** Up to the brace that closes the first one, to the end where there is none; without braces up to a dollar. */
function insideBox(rest: string): string {
  if (!rest.startsWith('{')) return (rest.split('$', 1)[0] ?? '').trim()
  let depth = 0
  for (let i = 0; i < rest.length; i++) {
    if (rest[i] === '{') depth++
    else if (rest[i] === '}' && --depth === 0) return rest.slice(1, i)
  }
  return rest.slice(1)
}

/** Words that count as units, single letters among them, in the order in which they are taken out; then all of them with an s. */
const unitWords =
  'east,degree,mph,kmph,ft,m sqaure, m east,sq m,deg,mile,q .,monkey,prime,ratio,profit of rs,rd,o,gm,p . m,lb,tile,per,dm,lt,' +
  'gain,ab,way,west,a .,b .,c .,d .,e .,f .,g .,h .,t,a,h,no change,men,soldier,pie,bc,excess,st,inches,noon,percent,by,gal,kmh,c,' +
  'acre,rise,a . m,th,π r 2,sq,mark,l,toy,coin,sq . m,gallon,° f,profit,minw,yr,women,feet,am,pm,hr,cu cm,square,v â € ™,are,' +
  'rupee,rounds,cubic,cc,mtr,s,ohm,number,kmph,day,hour,minute,min,second,man,woman,sec,cube,mt,sq inch,mp,∏ cm ³,hectare,more,' +
  'sec,unit,cu . m,cm 2,rs .,rs,kg,g,month,km,m,cm,mm,apple,liter,loss,yard,pure,year,increase,decrease,d,less,Surface,litre,' +
  'pi sq m,s .,metre,meter,inch'
const word = '[\\p{L}\\p{N}_]'
const units = [...unitWords.split(','), ...unitWords.split(',').map((unit) => `${unit}s`)].map(
  (unit) => new RegExp(`(^|(?!${word}).)${unit}($|(?!${word}).)`, 'gsu'),
)

/** What does not count for the comparison. */
export function stripAsPaper(answer: string): string {
  let text = answer.trim().replaceAll('\n', '').replace(/\.+$/, '').replaceAll('\\!', '')
  text = text
    .replaceAll('tfrac', 'frac')
    .replaceAll('dfrac', 'frac')
    .replace(/\\left|\\right/g, '')
  text = text.replaceAll('\\{', '{').replaceAll('\\}', '}')
  text = orBefore(text.replace(/\\text\{.*?\}$/, '').trim(), text)
  for (let round = 0; round < 2; round++) {
    for (const unit of units) text = orBefore(text.replace(unit, '$1$2'), text)
  }
  text = text
    .replaceAll('^{\\circ}', '')
    .replaceAll('^\\circ', '')
    .replace(/\\?\$|\\\(|\\\)/g, '')
  text = wordNumber(text) ?? text
  text = text
    .replace(/\\text\{(.*?)\}/g, '$1')
    .replace(/[xyz](?:=|\\in|\\to)/g, '')
    .replace(/\\?%/g, '')
  text = text.replaceAll(' .', ' 0.').replaceAll('{.', '{0.').replaceAll('and', '').replaceAll('\\mathbf', '')
  text = text
    .replace(/\\mbox\{.*?\}/g, '')
    .replace(/(\d)\.0*([^\d])/g, '$1$2')
    .replace(/(\d)\.0*$/, '$1')
  if (text.startsWith('.')) text = `0${text}`
  const sides = text.split('=')
  if (sides.length === 2 && (sides[0] as string).length <= 2) text = sides[1] as string
  return text.replaceAll(' ', '')
}

const orBefore = (after: string, before: string): string => (after === '' ? before : after)

const small = (
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen ' +
  'nineteen'
).split(' ')
const tens = 'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ')

/** The number that the number words of a text make; all other words are skipped. Digits alone lose leading zeros. */
function wordNumber(text: string): string | undefined {
  if (/^\d+$/.test(text)) return String(BigInt(text))
  let [total, group, found] = [0, 0, false]
  for (const name of text.toLowerCase().replaceAll('-', ' ').split(/\s+/)) {
    if (small.includes(name)) group += small.indexOf(name)
    else if (tens.includes(name)) group += 10 * (tens.indexOf(name) + 2)
    else if (name === 'hundred') group = Math.max(group, 1) * 100
    else if (name === 'thousand') [total, group] = [total + Math.max(group, 1) * 1000, 0]
    else continue
    found = true
  }
  return found ? String(total + group) : undefined
}

/** What Python's float takes, with commas and a percent sign. */
function numberOf(text: string): number | undefined {
  const plain = text.replaceAll(',', '')
  const isPercent = plain.endsWith('%')
  const digits = plain.replace(/\\?%$/, '').trim()
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(digits)) return undefined
  return Number(digits) / (isPercent ? 100 : 1)
}

export function isEqualAsPaper(answer: string, gold: string): boolean {
  if (answer.trim().toLowerCase() === gold.trim().toLowerCase()) return true
  const [value, right] = [numberOf(answer), numberOf(gold)]
  if (value !== undefined && right !== undefined) {
    return [right / 100, right, right * 100].some((target) => isClose(target, value))
  }
  const bare = answer.replace(/[{}()[\]]/g, '')
  if (bare.toLowerCase() === gold.toLowerCase()) return true
  const [left, ...rest] = answer.split('=')
  if (rest.length === 1 && (left as string).trim().length <= 2) return isEqualAsPaper(rest[0] as string, gold)
  return compareMath(gold, answer).equal
}

const isClose = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-4 * Math.max(Math.abs(a), Math.abs(b))
