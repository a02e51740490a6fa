import { compareText } from '../../evaluate/analysis/compareText.js'
import type { EvaluationResults, Score } from '../../evaluate/analysis/results.js'
import { shortened } from '../../text/escapeXml.js'
import { colourAt } from '../colourScale.js'
import { percent } from './numbers.js'
import { at, type Figure, figureOf, textAt, titled } from './svg.js'

const margin = 24
const labelWidth = 190
const rowHeight = 18
const mapWidth = 960
const mostCellWidth = 16
/** More cells would be thinner than two pixels; then a cell stands for several questions. */
const mostCells = 400
const legendCells = 11

/** A column of the map: questions that stand next to each other in difficulty, one in most benchmarks. */
interface Place {
  questions: readonly string[]
}

/** Models by questions, the share of right trials as colour, from the question that fewest answers get right to the easiest. */
export function questionMap({ benchmarks, scores, models }: EvaluationResults): Figure | undefined {
  const body: string[] = [
    textAt(margin, margin + 14, 'Share of right trials by question', 'head'),
    textAt(margin, margin + 36, 'From the hardest question (left) to the easiest; grey: not answered', 'quiet'),
  ]
  let y = margin + 52
  const words: string[] = []
  for (const { name } of benchmarks) {
    const found = models.flatMap((model) => scores.filter((each) => each.benchmark === name && each.model === model))
    if (found.length === 0) continue
    const places = placesOf(found)
    const several = places.some(({ questions }) => questions.length > 1)
    const size = several ? `, a cell is the mean of up to ${places[0]?.questions.length}` : ''
    const questions = places.reduce((sum, place) => sum + place.questions.length, 0)
    body.push(textAt(margin, y + 16, `${shortened(name, 60)}: ${questions} questions${size}`))
    y += 26
    const cell = Math.max(2, Math.min(mostCellWidth, Math.floor(mapWidth / places.length)))
    for (const score of found) {
      body.push(textAt(margin + labelWidth - 8, y + 13, shortened(score.model, 24), 'end'))
      body.push(...places.map((place, i) => cellOf(score, place, margin + labelWidth + i * cell, y, cell)))
      y += rowHeight
    }
    y += 12
    words.push(`${name}: ${found.map(countsOf).join('; ')}.`)
  }
  if (words.length === 0) return undefined
  body.push(...legend(y))
  return figureOf(
    { name: 'questions', title: 'Share of right trials by question and model', description: words.join(' ') },
    { width: margin + labelWidth + mapWidth + margin, height: y + 40 + margin },
    body,
  )
}

/** Questions in the order of their mean share over all models; ties in the order of their ids. */
function placesOf(scores: readonly Score[]): Place[] {
  const sums = new Map<string, { sum: number; count: number }>()
  for (const { byQuestion } of scores) {
    for (const [question, share] of Object.entries(byQuestion)) {
      const { sum, count } = sums.get(question) ?? { sum: 0, count: 0 }
      sums.set(question, { sum: sum + share, count: count + 1 })
    }
  }
  const sorted = [...sums]
    .map(([question, { sum, count }]) => ({ question, mean: sum / count }))
    .sort((a, b) => a.mean - b.mean || compareText(a.question, b.question))
    .map(({ question }) => question)
  const each = Math.ceil(sorted.length / mostCells)
  return Array.from({ length: Math.ceil(sorted.length / each) }, (_, i) => ({
    questions: sorted.slice(i * each, (i + 1) * each),
  }))
}

function cellOf(score: Score, { questions }: Place, x: number, y: number, width: number): string {
  const shares = questions.flatMap((question) => score.byQuestion[question] ?? [])
  const share = shares.length > 0 ? shares.reduce((a, b) => a + b) / shares.length : undefined
  const place = questions.length > 1 ? `${questions[0]} to ${questions.at(-1)}` : (questions[0] ?? '')
  const fill = share === undefined ? 'class="blank"' : `fill="${colourAt(share)}"`
  const gap = width > 4 ? 1 : 0
  const rect = `<rect ${fill} x="${at(x)}" y="${at(y)}" width="${width - gap}" height="${rowHeight - 2}"/>`
  return titled(
    `${score.model}, ${shortened(place, 80)}: ${share === undefined ? 'not answered' : `${percent(share)} %`}`,
    [rect],
  )
}

function countsOf({ model, byQuestion }: Score): string {
  const shares = Object.values(byQuestion)
  const always = shares.filter((share) => share === 1).length
  const never = shares.filter((share) => share === 0).length
  return `${model} always right in ${always}, never in ${never} of ${shares.length} questions`
}

function legend(y: number): string[] {
  const left = margin + labelWidth
  const cells = Array.from(
    { length: legendCells },
    (_, i) =>
      `<rect fill="${colourAt(i / (legendCells - 1))}" x="${left + 44 + i * 16}" y="${at(y)}" width="16" height="14"/>`,
  )
  return [
    textAt(left, y + 12, 'never', 'quiet'),
    ...cells,
    textAt(left + 44 + legendCells * 16 + 8, y + 12, 'always right', 'quiet'),
  ]
}
