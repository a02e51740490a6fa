import type { EvaluationResults, Lengths, Score } from '../../evaluate/analysis/results.js'
import { shortened } from '../../text/escapeXml.js'
import { wholeText } from './numbers.js'
import { at, colourOf, type Figure, figureOf, textAt, ticksUpTo, titled } from './svg.js'

const margin = 24
const labelWidth = 250
const plotWidth = 560
const rowHeight = 20
const headHeight = 30

/** Output tokens of right and wrong answers as boxes: the middle half, the middle 90 %, the median and the longest. */
export function lengthChart({ benchmarks, scores }: EvaluationResults): Figure | undefined {
  const counted = scores.filter(({ lengths }) => lengths.all)
  if (counted.length === 0) return undefined
  const ticks = ticksUpTo(counted.reduce((most, { lengths }) => Math.max(most, lengths.all?.max ?? 0), 1))
  const left = margin + labelWidth
  const x = (tokens: number) => left + (plotWidth * tokens) / (ticks.at(-1) as number)
  const body: string[] = []
  const top = margin + 62
  let y = top
  for (const { name } of benchmarks) {
    const found = counted.filter(({ benchmark }) => benchmark === name)
    if (found.length === 0) continue
    body.push(textAt(margin, y + 18, shortened(name, 60)))
    y += headHeight
    for (const score of found) {
      for (const kind of ['right', 'wrong'] as const) {
        body.push(row(score, kind, y, x))
        y += rowHeight
      }
      y += 6
    }
  }
  const grid = ticks.flatMap((tokens) => [
    `<path class="grid" d="M${at(x(tokens))} ${top}V${at(y)}"/>`,
    textAt(x(tokens), y + 16, wholeText(tokens), 'quiet middle'),
  ])
  const head = [
    textAt(margin, margin + 14, 'Output tokens of right and wrong answers', 'head'),
    textAt(
      margin,
      margin + 36,
      'Box: middle half; line: middle 90 %; bar in the box: median; dot: longest answer',
      'quiet',
    ),
  ]
  const description = counted.map(summary).join(' ')
  return figureOf(
    { name: 'lengths', title: 'Output tokens of right and wrong answers', description },
    { width: left + plotWidth + 2 * margin, height: y + 24 + margin },
    [...head, ...grid, ...body],
  )
}

function row(score: Score, kind: 'right' | 'wrong', y: number, x: (tokens: number) => number): string {
  const lengths = score.lengths[kind]
  const label = `${shortened(score.model, 24)}, ${kind} (${wholeText(lengths?.answers ?? 0)})`
  const text = textAt(margin + labelWidth - 8, y + 14, label, 'end')
  if (!lengths) return text
  const middle = at(y + rowHeight / 2)
  const marks = [
    `<path class="whisker" d="M${at(x(lengths.p5))} ${middle}H${at(x(lengths.p95))}"/>`,
    `<rect fill="${colourOf(kind === 'right' ? 0 : 1)}" x="${at(x(lengths.p25))}" y="${at(y + 4)}" width="${at(Math.max(1, x(lengths.p75) - x(lengths.p25)))}" height="${rowHeight - 8}"/>`,
    `<path class="whisker" d="M${at(x(lengths.median))} ${at(y + 2)}v${rowHeight - 4}"/>`,
    `<circle class="whisker" cx="${at(x(lengths.max))}" cy="${middle}" r="2"/>`,
  ]
  return `${text}${titled(`${score.benchmark}, ${score.model}, ${kind}: ${inWords(lengths)}`, marks)}`
}

const inWords = ({ answers, median, mean, p95, max }: Lengths): string =>
  `${wholeText(answers)} answers, median ${wholeText(median)}, mean ${wholeText(mean)}, 95 % below ${wholeText(p95)}, longest ${wholeText(max)}`

function summary({ benchmark, model, lengths: { right, wrong } }: Score): string {
  const of = (kind: string, lengths: Lengths | null) => `${kind}: ${lengths ? inWords(lengths) : 'none'}`
  return `${benchmark}, ${model}, ${of('right', right)}; ${of('wrong', wrong)}.`
}
