import type { EvaluationResults, Score } from '../../evaluate/analysis/results.js'
import { shortened } from '../../text/escapeXml.js'
import { percent, scoreText } from './numbers.js'
import { at, colourOf, type Figure, figureOf, textAt, titled } from './svg.js'

const margin = 24
const axisWidth = 40
const plotHeight = 240
const barWidth = 34
const groupGap = 28
const mostLabel = 24

/** Bars of pass@1 with their 95 % intervals, models side by side for each benchmark (the paper's Figure 2). */
export function scoreChart({ models, benchmarks, scores }: EvaluationResults): Figure {
  const groups = benchmarks
    .map(({ name }) => ({ name, scores: scores.filter(({ benchmark }) => benchmark === name) }))
    .filter((group) => group.scores.length > 0)
  const top = margin + 40
  const left = margin + axisWidth
  const longest = models.reduce((most, model) => Math.max(most, Math.min(model.length, mostLabel)), 0)
  // About 7 pixels a letter, at 60 degrees.
  const labelHeight = Math.ceil(longest * 7 * 0.87) + 20
  const y = (share: number) => top + plotHeight * (1 - share)
  const body: string[] = [textAt(margin, margin + 14, 'pass@1 in %, with 95 % intervals', 'head')]
  let x = left + groupGap / 2
  const drawn: string[] = []
  for (const group of groups) {
    const width = group.scores.length * barWidth
    drawn.push(...group.scores.map((score, i) => bar(score, models.indexOf(score.model), x + i * barWidth, y)))
    drawn.push(textAt(x + width / 2, y(0) + labelHeight + 12, shortened(group.name, 30), 'middle'))
    x += Math.max(width, Math.min(group.name.length, 30) * 7) + groupGap
  }
  const right = x - groupGap / 2
  for (const share of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    body.push(`<path class="grid" d="M${left} ${at(y(share))}H${at(right)}"/>`)
    body.push(textAt(left - 8, y(share) + 4, String(Math.round(share * 100)), 'quiet end'))
  }
  body.push(...drawn, `<path class="axis" d="M${left} ${at(y(0))}H${at(right)}"/>`)
  const description = scores.map((score) => `${score.benchmark}, ${score.model}: ${scoreText(score)}`).join('; ')
  return figureOf(
    { name: 'scores', title: 'pass@1 of every model on every benchmark', description: `${description}.` },
    { width: Math.max(right, 480) + margin, height: top + plotHeight + labelHeight + 24 + margin },
    body,
  )
}

function bar(score: Score, model: number, x: number, y: (share: number) => number): string {
  const { passAt1, interval } = score
  const [low, high] = [y(interval[0]), y(interval[1])]
  const middle = x + barWidth / 2
  const [labelX, labelY] = [at(middle + 4), at(y(0) + 8)]
  const marks = [
    `<rect fill="${colourOf(model)}" x="${at(x + 3)}" y="${at(y(passAt1))}" width="${barWidth - 6}" height="${at(y(0) - y(passAt1))}"/>`,
    `<path class="whisker" d="M${at(middle)} ${at(low)}V${at(high)}M${at(middle - 5)} ${at(low)}h10M${at(middle - 5)} ${at(high)}h10"/>`,
    textAt(middle, high - 5, percent(passAt1), 'middle'),
    textAt(middle + 4, y(0) + 8, shortened(score.model, mostLabel), 'end').replace(
      '<text',
      `<text transform="rotate(-60 ${labelX} ${labelY})"`,
    ),
  ]
  return titled(`${score.benchmark}, ${score.model}: ${scoreText(score)}`, marks)
}
